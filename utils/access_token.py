"""Where the access token comes from: the environment at the start, the file as soon as it says something new."""

from __future__ import annotations

import re
from pathlib import Path

import structlog

from utils.log import BoundLogger
from utils.text_files import decoded, without_quotes

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=&%-]+")
_NAMED = re.compile(r"(?:export\s+|set\s+|\$env:)?access_token\s*[=:](?P<token>.*)", re.IGNORECASE)
REMEDY = "log in with 'python manage.py login', or write the token alone into it"


class TokenFileError(ValueError):
    """The file is there and gives no token; one sentence says why, and shows nothing of what it holds."""


class AccessTokens:
    """Which token to connect with next.

    ACCESS_TOKEN of the environment goes first, until the broker refuses it or the file changes; a refused token is
    not offered again, unless the file is written anew with it.
    """

    def __init__(self, from_environment: str, path: Path) -> None:
        self._from_environment = from_environment.strip()
        self._path = path
        self._log: BoundLogger = structlog.get_logger("access_token")
        self._stamp = self._read_stamp()
        self._from_file = self._read_file()
        self._file_is_newer = False
        self._refused: set[str] = set()

    def look(self) -> bool:
        """Reads the file again when it has changed. True when it brought a token to try."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._from_file = self._read_file()
        self._file_is_newer = bool(self._from_file)
        self._refused.discard(self._from_file)
        return self._file_is_newer

    def current(self) -> str:
        """The token to connect with; empty when there is none that was not refused."""
        order = [self._from_environment, self._from_file]
        if self._file_is_newer:
            order.reverse()
        return next((token for token in order if token and token not in self._refused), "")

    def refuse(self, token: str) -> None:
        """The broker does not accept it."""
        self._refused.add(token)

    def readmit(self, token: str) -> None:
        """It was not the token's fault: it may be offered again."""
        self._refused.discard(token)

    def _read_stamp(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _read_file(self) -> str:
        try:
            return read_token_file(self._path)
        except TokenFileError as error:
            self._log.warning(str(error))
            return ""


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
