"""What is stored in MongoDB, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

Document = dict[str, Any]


class Write(Enum):
    """What becomes of a document that is there under the same `_id`."""

    REPLACE = "it is replaced"
    REPLACE_UNLESS_NEWER = "it is replaced, unless its `rev` is higher"
    ADD = "it stays"


class StoreError(RuntimeError):
    """MongoDB or a file did not do what it was asked: away, slow, full or refusing. Trying again later is safe."""


@dataclass(frozen=True, slots=True)
class RefusedDocument:
    """A document that will never be stored, and why."""

    document: Document
    reason: str
