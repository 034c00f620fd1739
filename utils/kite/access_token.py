"""Where the access token comes from: the environment at the start, the file as soon as its content changes."""

from __future__ import annotations

from pathlib import Path

import structlog

from utils.kite.token_file import TokenFileError, read_token_file
from utils.runtime.log import BoundLogger


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
