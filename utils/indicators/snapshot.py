"""Arrays and a JSON header in one compressed block of bytes, for one SET."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

LAYOUT_VERSION = 1
_LENGTH_BYTES = 8


class SnapshotError(ValueError):
    """The bytes are no snapshot of this version."""


def pack(header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> bytes:
    """The header must be JSON; `unpack` gives both back, the arrays to the bit."""
    described = [{"dtype": _dtype_name(one.dtype), "shape": one.shape} for one in arrays]
    head = orjson.dumps({"version": LAYOUT_VERSION, "header": header, "arrays": described})
    parts = [len(head).to_bytes(_LENGTH_BYTES, "big"), head, *(np.ascontiguousarray(one).tobytes() for one in arrays)]
    return zstandard.ZstdCompressor(level=1).compress(b"".join(parts))


def unpack(packed: bytes, dtypes: Sequence[np.dtype[Any]]) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """`dtypes` are those that the arrays may have. SnapshotError for anything but a snapshot of this version."""
    known = {_dtype_name(one): one for one in dtypes}
    try:
        content = zstandard.ZstdDecompressor().decompress(packed)
        length = int.from_bytes(content[:_LENGTH_BYTES], "big")
        head = orjson.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
        if head["version"] != LAYOUT_VERSION:
            raise SnapshotError(f"the snapshot has layout version {head['version']}, not {LAYOUT_VERSION}")
        return head["header"], _arrays(content, _LENGTH_BYTES + length, head["arrays"], known)
    except (zstandard.ZstdError, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"not a snapshot of this version ({error})") from None


def _arrays(
    content: bytes, offset: int, described: list[dict[str, Any]], known: dict[str, np.dtype[Any]]
) -> list[NDArray[Any]]:
    arrays = []
    for one in described:
        dtype, count = known[one["dtype"]], int(np.prod(one["shape"]))
        arrays.append(np.frombuffer(content, dtype, count, offset).reshape(one["shape"]))
        offset += count * dtype.itemsize
    if offset != len(content):
        raise SnapshotError("the snapshot has another length than its header says")
    return arrays


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return str(dtype.descr)
