"""Arrays and a JSON header in one compressed block of bytes, for one SET.

Most of a snapshot are closes: rows of whole hundredths. As integers, their first bytes together, then their second
ones and so on, they are smaller by half and compressed in a third of the time that the same floats take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

LAYOUT_VERSION = 2
_LENGTH_BYTES = 8
_PARTS = 100.0


class SnapshotError(ValueError):
    """The bytes are no snapshot of this version."""


def pack(header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> bytes:
    """The header must be JSON; `unpack` gives both back, the arrays to the bit."""
    written = [_written(array) for array in arrays]
    described = [{"dtype": _dtype_name(array.dtype), "shape": array.shape} for array in arrays]
    head = orjson.dumps({"version": LAYOUT_VERSION, "header": header, "arrays": described})
    parts = [len(head).to_bytes(_LENGTH_BYTES, "big"), head, *(part for pieces in written for part in pieces)]
    return zstandard.ZstdCompressor(level=1).compress(b"".join(parts))


def unpack(packed: bytes, dtypes: Sequence[np.dtype[Any]]) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """`dtypes` are those that the arrays may have. SnapshotError for anything but a snapshot of this version."""
    known = {_dtype_name(dtype): dtype for dtype in dtypes}
    try:
        content = zstandard.ZstdDecompressor().decompress(packed)
        head, end = read_head(content)
        if head["version"] != LAYOUT_VERSION:
            raise SnapshotError(f"the snapshot has layout version {head['version']}, not {LAYOUT_VERSION}")
        read = _Reader(content, end)
        arrays = [read.array(known[described["dtype"]], described["shape"]) for described in head["arrays"]]
        if read.offset != len(content):
            raise SnapshotError("the snapshot has another length than its header gives")
        return head["header"], arrays
    except (zstandard.ZstdError, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"not a snapshot of this version ({error})") from None


def read_head(content: bytes) -> tuple[Any, int]:
    """The JSON at the beginning of an unpacked snapshot, whatever version it is of, and where it ends. ValueError."""
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "big")
    return orjson.loads(content[_LENGTH_BYTES:end]), end


def _written(array: NDArray[Any]) -> Iterator[bytes]:
    """A table of floats: which rows are hundredths, those byte by byte, the others as they are. All else as it is."""
    if not _is_table(array.dtype, array.shape):
        yield np.ascontiguousarray(array).tobytes()
        return
    with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is seen in the comparison
        hundredths = np.rint(array * _PARTS).astype(np.int32)
    same = (hundredths / _PARTS).view(np.int64) == np.ascontiguousarray(array).view(np.int64)
    fits = same.all(axis=1)
    yield np.packbits(fits).tobytes()
    yield np.ascontiguousarray(hundredths[fits].view(np.uint8).reshape(-1, 4).T).tobytes()
    yield array[~fits].tobytes()


@dataclass(slots=True)
class _Reader:
    """Takes arrays from the content, one after the other. ValueError at its end."""

    content: bytes
    offset: int

    def array(self, dtype: np.dtype[Any], shape: Sequence[int]) -> NDArray[Any]:
        """What `_written` wrote of an array of this dtype and shape."""
        if not _is_table(dtype, shape):
            return self._take(dtype, int(np.prod(shape))).reshape(shape)
        rows, columns = shape
        bits = self._take(np.dtype(np.uint8), -(-rows // 8))
        fits = np.unpackbits(bits, count=rows).astype(np.bool_)
        count = int(np.count_nonzero(fits))
        array = np.empty((rows, columns))
        in_planes = self._take(np.dtype(np.uint8), 4 * count * columns).reshape(4, -1)
        hundredths = np.ascontiguousarray(in_planes.T).view(np.int32)
        array[fits] = hundredths.reshape(count, columns) / _PARTS
        array[~fits] = self._take(dtype, (rows - count) * columns).reshape(rows - count, columns)
        return array

    def _take(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        taken = np.frombuffer(self.content, dtype, count, self.offset)
        self.offset += count * dtype.itemsize
        return taken


def _is_table(dtype: np.dtype[Any], shape: Sequence[int]) -> bool:
    return dtype == np.float64 and len(shape) == 2 and min(shape) > 0


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return str(dtype.descr)
