"""The file that carries the day's access token: `manage.py login` or a person writes it, the connector reads it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

from utils.text import decoded, without_quotes

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=&%-]+")
_NAMED = re.compile(r"(?:export\s+|set\s+|\$env:)?access_token\s*[=:](?P<token>.*)", re.IGNORECASE)
REMEDY = "log in with 'python manage.py login', or write the token alone into it"


class TokenFileError(ValueError):
    """The file is there and gives no token; the sentence gives the reason and none of its content."""


def read_token_file(path: Path) -> str:
    """The token in the file; empty when there is no file, or nothing in it. TokenFileError when it holds no token."""
    try:
        return token_in(decoded(path.read_bytes()))
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TokenFileError(f"ACCESS_TOKEN_FILE: {path} cannot be read ({error.strerror}); {REMEDY}") from None
    except UnicodeDecodeError:
        raise TokenFileError(f"ACCESS_TOKEN_FILE: {path} is no text in UTF-8 or UTF-16; {REMEDY}") from None
    except ValueError:
        raise TokenFileError(f"ACCESS_TOKEN_FILE: {path} holds more than a token; {REMEDY}") from None


def token_in(text: str) -> str:
    """The token as people write it down: alone, in quotes, or behind its name. ValueError when it is none.

    >>> token_in("Abc123"), token_in("export ACCESS_TOKEN='Abc123'"), token_in('"Abc123"')
    ('Abc123', 'Abc123', 'Abc123')
    """
    line = text.strip()
    named = _NAMED.fullmatch(line)
    token = without_quotes(named["token"] if named else line)
    if token and not _TOKEN.fullmatch(token):
        raise ValueError("not a token")
    return token


def store_token(path: Path, token: str) -> None:
    """Writes the token for its owner only (0600), all at once: a reader sees the old one or the new one whole.

    OSError when the folder cannot be made or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
