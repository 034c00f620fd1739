"""The state of a shard as a whole: making it, taking instruments in and out, giving it a day, freezing it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from utils.candles.kernels.layout import (
    CANDLE,
    DELAYS,
    FAR,
    FEED,
    INSTRUMENT,
    LAYOUT_VERSION,
    LINE_BYTES,
    PACKET,
    Array,
    Count,
    Reason,
    Shard,
)
from utils.candles.kernels.processing import slot_of
from utils.kite.frames import FULL_LENGTH, price_divisor
from utils.market.instruments import Instrument, SessionClass
from utils.market.sessions import Session

_WITH_OI = {
    SessionClass.EQUITY_DERIVATIVE,
    SessionClass.INDEX_DERIVATIVE,
    SessionClass.CURRENCY,
    SessionClass.COMMODITY,
}
_BY_ROW = ("instruments", "windows", "latest", "held", "open", "last", "due")
_SAVED = (*_BY_ROW, "feed", "counts", "rejected", "delays")


class StateError(ValueError):
    """A snapshot that does not fit: another layout, other timeframes, or cut off."""


def new_shard(timeframe_lengths_ms: Sequence[int], window: int) -> Shard:
    """A shard without instruments, whose feed is down."""
    lengths = np.array(timeframe_lengths_ms, np.int64)
    return _empty(0, lengths, window)


def _empty(n: int, lengths: Array, window: int) -> Shard:
    k = len(lengths)
    feed = np.zeros(1, FEED)
    feed["next_due_ms"] = FAR
    keys, rows = _token_table(np.zeros(0, np.int64), np.zeros(0, np.int64))
    due = _at_a_line((n, k), np.dtype(np.int64))
    due[:] = FAR
    return Shard(
        instruments=_at_a_line((n,), INSTRUMENT),
        windows=_at_a_line((n, window), np.dtype(np.int64)),
        latest=_at_a_line((n,), PACKET),
        held=np.zeros((n, FULL_LENGTH), np.uint8),
        open=_at_a_line((n, k), CANDLE),
        last=_at_a_line((n, k), CANDLE),
        due=due,
        lengths=lengths,
        token_keys=keys,
        token_rows=rows,
        feed=feed,
        counts=np.zeros(len(Count), np.int64),
        rejected=np.zeros(len(Reason), np.int64),
        delays=np.zeros(DELAYS, np.int64),
    )


def _at_a_line(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that begin at a cache line."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + LINE_BYTES, np.uint8)
    first = -memory.ctypes.data % LINE_BYTES
    return memory[first : first + size].view(dtype).reshape(shape)


def grow(shard: Shard, more: int) -> Shard:
    """The same shard with room for `more` instruments at the end."""
    rows = len(shard.instruments)
    wider = _empty(rows + more, shard.lengths, shard.windows.shape[1])
    for name in _BY_ROW:
        getattr(wider, name)[:rows] = getattr(shard, name)
    return shard._replace(**{name: getattr(wider, name) for name in _BY_ROW})


def keep_rows(shard: Shard, kept: Array) -> Shard:
    """The same shard with the rows of `kept` (bool, one a row) only, in their order; its tokens are to be indexed."""
    fewer = _empty(int(np.count_nonzero(kept)), shard.lengths, shard.windows.shape[1])
    for name in _BY_ROW:
        getattr(fewer, name)[:] = getattr(shard, name)[kept]
    return shard._replace(**{name: getattr(fewer, name) for name in _BY_ROW})


def describe(shard: Shard, row: int, instrument: Instrument) -> None:
    """Write who the instrument of a row is: its token may change from day to day, its symbol never."""
    record = shard.instruments[row]
    record["token"] = instrument.token
    record["is_index"] = instrument.is_index
    record["has_oi"] = instrument.session_class in _WITH_OI
    record["tick_units"] = max(1, round(instrument.tick_size * price_divisor(instrument.token)))


def set_session(shard: Shard, row: int, session: Session | None) -> None:
    """The day's hours of one instrument; none means that nothing of it is a trade today."""
    record = shard.instruments[row]
    record["open_ms"] = session.open_ms if session else FAR
    record["close_ms"] = session.close_ms if session else FAR
    record["day_start_ms"] = session.day_start_ms if session else FAR
    record["day_end_ms"] = session.day_end_ms if session else FAR


def index_tokens(shard: Shard, named_ms: Array) -> Shard:
    """The same shard with its token table made anew. Of rows with one token, the one that was named last has it."""
    keys, rows = _token_table(shard.instruments["token"], np.argsort(named_ms, kind="stable"))
    return shard._replace(token_keys=keys, token_rows=rows)


def _token_table(tokens: Array, order: Array) -> tuple[Array, Array]:
    size = 1 << max(4, int(4 * len(tokens)).bit_length())
    keys, rows = np.full(size, -1, np.int64), np.zeros(size, np.int64)
    for row, token in zip(order.tolist(), tokens[order].tolist(), strict=True):
        slot = slot_of(keys, token)
        keys[slot], rows[slot] = token, row
    return keys, rows


def snapshot(shard: Shard, header: dict[str, object]) -> bytes:
    """Everything as bytes: one line of JSON, then the arrays end to end."""
    arrays = [getattr(shard, name) for name in _SAVED]
    about = {
        "layout": LAYOUT_VERSION,
        "sizes": [INSTRUMENT.itemsize, CANDLE.itemsize, PACKET.itemsize, len(Count), len(Reason)],
        "rows": len(shard.instruments),
        "window": shard.windows.shape[1],
        "lengths": shard.lengths.tolist(),
        **header,
    }
    return orjson.dumps(about) + b"\n" + b"".join(array.tobytes() for array in arrays)


def position_in(content: bytes) -> str:
    """The entry id that a snapshot is true for, whatever version made it; empty when it has none."""
    try:
        return str(_header(content.partition(b"\n")[0]).get("position", ""))
    except StateError:
        return ""


def _header(head: bytes) -> dict[str, object]:
    try:
        header = orjson.loads(head)
    except orjson.JSONDecodeError:
        header = None
    if not isinstance(header, dict):
        raise StateError("the snapshot is damaged: its first line is no JSON object")
    return header


def restore(content: bytes, timeframe_lengths_ms: Sequence[int], window: int) -> tuple[Shard, dict[str, object]]:
    """The shard, whose tokens are to be indexed, and the header of `snapshot`.

    StateError when it was made for something else.
    """
    head, _, body = content.partition(b"\n")
    header = _header(head)
    sizes = [INSTRUMENT.itemsize, CANDLE.itemsize, PACKET.itemsize, len(Count), len(Reason)]
    made_for = (header.get("layout"), header.get("sizes"), header.get("window"), header.get("lengths"))
    if made_for != (LAYOUT_VERSION, sizes, window, list(timeframe_lengths_ms)):
        raise StateError("the snapshot was made by another version, or for other timeframes")
    rows = header.get("rows")
    if type(rows) is not int or not 0 <= rows <= len(body):
        raise StateError("the snapshot is damaged: the number of its instruments is missing")
    shard = _empty(rows, np.array(timeframe_lengths_ms, np.int64), window)
    at = 0
    for name in _SAVED:
        array = getattr(shard, name)
        if at + array.nbytes > len(body):
            raise StateError("the snapshot is cut off")
        array[...] = np.frombuffer(body, array.dtype, array.size, at).reshape(array.shape)
        at += array.nbytes
    if at != len(body):
        raise StateError("the snapshot is longer than its first line has it")
    return shard, header
