"""Where settings come from: the environment, then `.env`, then the files of SECRETS_DIR, as people write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from utils.runtime.env_file import EnvFileError, read_env_file
from utils.runtime.setting_names import UnreadName, unread_in_env_file, unread_nearby
from utils.text import decoded, one_line, without_quotes

DEFAULT_SECRETS_DIR = "/run/secrets"  # where Docker puts a service's secrets


class SettingsError(ValueError):
    """One clear sentence that names the variable at fault, and never shows a secret's value."""


@dataclass(frozen=True, slots=True)
class Given:
    """What people gave, by the names in capitals, and what they gave to nobody."""

    values: dict[str, str]
    unread: tuple[UnreadName, ...]


def given_settings(
    names: Collection[str], secrets: Collection[str], environment: Mapping[str, str], env_file: Path | None
) -> Given:
    """The value of each of `names`, of the first place that gives one; an empty secret leaves it to the next place.

    SettingsError when a place cannot be read, or when `.env` has a name that is nearly one of ours.
    """
    in_environment = {name.upper(): without_quotes(value) for name, value in environment.items()}
    in_file = _env_file(env_file, environment)
    directory = _secrets_directory({**in_file, **in_environment}.get("SECRETS_DIR", DEFAULT_SECRETS_DIR))
    in_files = _secret_files(directory, names)
    places = (in_files, in_file, in_environment)
    values = {
        name: value
        for place in places
        for name, value in place.items()
        if name in names and (value or name not in secrets)
    }
    unread = [
        *unread_in_env_file(in_file, names, ".env"),
        *unread_nearby(in_environment, names, [name for name in values if values[name]], "the environment"),
        *unread_nearby(in_files, names, values, "SECRETS_DIR"),
    ]
    _refuse_misspelt(unread)
    return Given(values, tuple(unread))


def _env_file(path: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    try:
        return read_env_file(path, environment) if path else {}
    except EnvFileError as error:
        raise SettingsError(f".env: {error}") from None
    except OSError as error:
        raise SettingsError(f".env: cannot be read ({error.strerror}); let this user read it") from None


def _refuse_misspelt(unread: Collection[UnreadName]) -> None:
    """`.env` is ours: a name in it that is nearly a setting is one, written wrongly."""
    for setting in unread:
        if setting.place == ".env" and setting.near:
            raise SettingsError(f".env: {setting.name} is no setting: write {setting.near}, or take the line out")


def _secrets_directory(text: str) -> Path | None:
    """SettingsError for a folder that was named and is not there; without a name there may be none."""
    directory = Path(text)
    try:
        if text and directory.is_dir():
            return directory
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds a NUL character"
        raise SettingsError(f"SECRETS_DIR: cannot be looked at ({reason})") from None
    if text not in ("", DEFAULT_SECRETS_DIR):
        shown = one_line(text[:200])
        raise SettingsError(f"SECRETS_DIR: {shown} is not a folder; name one that is, or leave it empty")
    return None


def _secret_files(directory: Path | None, names: Collection[str]) -> dict[str, str]:
    """By the files' names. Of those that are none of ours, which may be anybody's, the name only."""
    try:
        paths = {path.name.upper(): path for path in sorted(directory.iterdir())} if directory else {}
    except OSError as error:
        raise SettingsError(f"SECRETS_DIR: cannot be looked at ({error.strerror})") from None
    ours = {name for name, path in paths.items() if name in names and (path.is_file() or path.is_dir())}
    return {name: _secret(name, path) if name in ours else "" for name, path in paths.items()}


def _secret(name: str, path: Path) -> str:
    """What the file holds, with or without `NAME=` before it."""
    try:
        text = without_quotes(decoded(path.read_bytes()))
        head, _, rest = text.partition("=")
        return without_quotes(rest) if head.strip().upper() == name else text
    except IsADirectoryError:
        raise SettingsError(
            f"{name}: its file in SECRETS_DIR is a folder, which is what Docker mounts for a file that is not there"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: its file in SECRETS_DIR is no text; write it in UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{name}: its file cannot be read ({error.strerror}); let this user read it") from None
