"""Reads `.env` as people write it. What cannot be meant is an error that names the line, and shows no value."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from utils.text import decoded, without_quotes


class EnvFileError(ValueError):
    """What is wrong with the file: one sentence."""


def read_env_file(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Names, in capitals, and values; empty when there is no file.

    `${NAME}` in a value is replaced from the environment or from the lines above. EnvFileError for a line that is no
    `NAME=value`, a name with two values, and a `${NAME}` that nothing sets. OSError when it cannot be read.
    """
    try:
        text = decoded(path.read_bytes())
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise EnvFileError("cannot be read; make it, and the files of SECRETS_DIR, text in UTF-8") from None
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for binding in _bindings(text):
        name = (binding.key or "").upper()
        value = _filled_in(binding, {**environment, **found})
        if found.get(name) and found[name] != value:
            raise EnvFileError(
                f"{_shown(name)} has two values, in lines {lines[name]} and {_line(binding)}: keep one"
            )
        found[name], lines[name] = value, _line(binding)
    return found


def _bindings(text: str) -> Iterator[Binding]:
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise EnvFileError(
                f"line {_line(binding)} is not NAME=value: correct it, close its quotes, or put a list that "
                "goes over several lines into quotes"
            )
        if binding.key is not None:
            yield binding


def _filled_in(binding: Binding, known: Mapping[str, str]) -> str:
    value = without_quotes(binding.value or "")
    parts = list(parse_variables(value))
    for part in parts:
        if isinstance(part, Variable) and part.default is None and part.name not in known:
            raise EnvFileError(
                f"line {_line(binding)}: its ${{…}} is a name that nothing sets; set it above, or put the value into "
                "a file of SECRETS_DIR, where $ stays $"
            )
    return "".join(part.resolve(known) for part in parts)


def _line(binding: Binding) -> int:
    """Where it begins: the parser counts from the blank lines before it."""
    before = len(binding.original.string) - len(binding.original.string.lstrip())
    return binding.original.line + binding.original.string[:before].count("\n")


def _shown(name: str) -> str:
    """A line of a pasted secret may look like a name."""
    return name if name.replace("_", "").isalpha() and len(name) <= 40 else "a name"
