"""Takes a snapshot of several shards, or of instruments that changed shards, apart; puts lines behind one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from utils.indicators.kernels import STATE_DTYPE
from utils.indicators.snapshot import SnapshotError, pack, read_head, unpack
from utils.indicators.table import ARRAYS

Arrays = list[NDArray[Any]]


def taken_apart(packed: bytes, symbols_of: Mapping[int, Collection[str]]) -> dict[int, bytes]:
    """For each shard whose position is in the snapshot, the one of its own symbols. SnapshotError."""
    state, arrays = unpack(packed, [STATE_DTYPE, np.dtype(np.float64)])
    try:
        shards = [shard for shard in symbols_of if str(shard) in state["caller"]["positions"]]
        return {shard: _part(state, arrays, shard, set(symbols_of[shard])) for shard in shards}
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise SnapshotError(f"the snapshot cannot be taken apart: {error!r:.200}") from None


def with_lines(packed: bytes, content: bytes) -> bytes:
    """A snapshot, and lines behind it in a frame of their own (RFC 8878, 3.1), which nobody sees but `lines_of`."""
    return packed + zstandard.ZstdCompressor(level=1).compress(content) if content else packed


def lines_of(packed: bytes) -> bytes:
    """What `with_lines` put there, whatever version the snapshot is of; nothing when it is none."""
    first = zstandard.ZstdDecompressor().decompressobj()
    try:
        first.decompress(packed)
        return zstandard.ZstdDecompressor().decompress(first.unused_data) if first.unused_data else b""
    except zstandard.ZstdError:
        return b""


def rows_of(packed: bytes) -> dict[str, set[str]]:
    """By timeframe the instruments that have a row, whatever version the snapshot is of; none where it does not say.

    Nothing else tells which hashes a snapshot leaves behind that is not gone on with.
    """
    try:
        content = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        tables: Any = read_head(content)[0]["header"]["tables"]
        return {str(one["timeframe"]): set(map(str, one["symbols"])) for one in tables}
    except (zstandard.ZstdError, ValueError, KeyError, TypeError):
        return {}


def _part(state: Mapping[str, Any], arrays: Arrays, shard: int, symbols: Collection[str]) -> bytes:
    tables: list[dict[str, Any]] = []
    kept: Arrays = []
    for at, table in enumerate(state["tables"]):
        rows = [row for row, symbol in enumerate(table["symbols"]) if symbol in symbols]
        if rows:
            tables.append({**table, "symbols": [table["symbols"][row] for row in rows]})
            kept += [array[rows] for array in arrays[at * len(ARRAYS) : (at + 1) * len(ARRAYS)]]
    said = [one for one in state["said"] if one[0] in symbols]
    jumps = [one for one in state.get("jumps", []) if one["symbol"] in symbols]
    caller = _caller(state["caller"], shard, symbols)
    return pack({**state, "caller": caller, "tables": tables, "said": said, "jumps": jumps}, kept)


def _caller(caller: Mapping[str, Any], shard: int, symbols: Collection[str]) -> dict[str, Any]:
    warmed = {name: [one for one in found if one in symbols] for name, found in caller["warmed"].items()}
    return {**caller, "positions": {str(shard): caller["positions"][str(shard)]}, "warmed": warmed}
