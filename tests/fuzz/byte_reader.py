"""Any bytes as a sequence of small choices: deterministic, and a change of some bytes changes few choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class ByteReader:
    """Reads choices from the front; when the bytes end, every further choice is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return value

    def u16(self) -> int:
        return self.byte() << 8 | self.byte()

    def u32(self) -> int:
        return self.u16() << 16 | self.u16()

    def below(self, limit: int) -> int:
        """0 to limit - 1."""
        return (self.byte() if limit <= 256 else self.u32()) % limit

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def read(self, length: int) -> bytes:
        piece = self._data[self._at : self._at + length]
        self._at += length
        return piece

    def rest(self) -> bytes:
        return self.read(len(self._data))
