"""Where the access token comes from: the environment at the start, the file as soon as it says something new."""

from __future__ import annotations

import contextlib
from pathlib import Path


class AccessTokens:
    """Which token to connect with next.

    ACCESS_TOKEN of the environment goes first, until the broker refuses it or the file changes; a refused token is
    not offered again, unless the file is written anew with it.
    """

    def __init__(self, from_environment: str, path: Path) -> None:
        self._from_environment = from_environment.strip()
        self._path = path
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
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return self._path.read_text(encoding="ascii").strip()
        return ""
