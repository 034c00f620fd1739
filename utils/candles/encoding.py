"""Closed candles as they leave the engine: records in columns, from which objects or JSON are made on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import orjson

from utils.candles.fields import CANDLE_FIELDS, EXACT, VWAP, describe_candle, exact_vwap
from utils.candles.kernels.layout import Array
from utils.candles.texts import DUE, KEPT, put_int, write_texts
from utils.journal.entries import ZERO_ID, EntryId
from utils.kite.frames import price_divisor
from utils.market.instruments import Instrument
from utils.runtime.kernel_cache import kernel

JsonHeads = tuple[bytes, bytes, bytes]


class Rows:
    """The instruments in the order of their rows, and what follows from them alone, found once."""

    def __init__(self, instruments: Sequence[Instrument], timeframes: Sequence[str]) -> None:
        self.instruments = tuple(instruments)
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.timeframes = tuple(timeframes)
        self.divisors: Array = np.array(
            [price_divisor(instrument.token) for instrument in self.instruments], np.int64
        )
        self._json_heads: dict[int, JsonHeads] = {}

    @cached_property
    def as_json(self) -> bytes:
        """A JSON array of the instruments."""
        return orjson.dumps([instrument.as_dict() for instrument in self.instruments])

    def at(self, place: int) -> tuple[Instrument, str]:
        """Instrument and timeframe of a place: row * timeframes + column."""
        row, column = divmod(place, len(self.timeframes))
        return self.instruments[row], self.timeframes[column]

    def names_at(self, place: int) -> tuple[str, str]:
        """Symbol and timeframe of a place."""
        row, column = divmod(place, len(self.timeframes))
        return self.symbols[row], self.timeframes[column]

    def json_heads(self, place: int) -> JsonHeads:
        """What stands before the id's time, before `k`'s, and after `t`, in the document of each candle there."""
        heads = self._json_heads.get(place)
        if heads is None:
            symbol, frame = map(orjson.dumps, self.names_at(place))
            key = symbol[:-1] + b"|" + frame[1:-1] + b"|"
            who = b',"symbol":%b,"timeframe":%b,"token":%d' % (symbol, frame, self.at(place)[0].token)
            heads = self._json_heads[place] = (b'{"_id":' + key, b'","k":' + key, who)
        return heads


_CLOSED = CANDLE_FIELDS.names.index("closed")
_LITERALS = (
    b'","t":', b',"start":"', b'","end":"', b'","end_t":', b',"open":', b',"high":', b',"low":', b',"close":',
    b',"volume":', b',"oi":', b',"vwap":', b',"ticks":', b',"complete":', b',"source":"live","rev":',
    b',"timed_by":"', b'","previous_close":', b"null",
)  # fmt: skip
_TIME_DIGITS = 15  # as utils.keys.candle_id
_BLOB = np.frombuffer(b"".join(_LITERALS), np.uint8)
_ENDS = np.cumsum([0, *map(len, _LITERALS)])


@dataclass(frozen=True, slots=True)
class ClosedRecords:
    """Some of them, in order. heads: EVENT_HEAD (m,), candles: CANDLE (m,), nths: int64 (m,)."""

    rows: Rows
    heads: Array
    candles: Array
    nths: Array

    def __len__(self) -> int:
        return len(self.heads)

    def parts(self, most: int) -> Iterator[ClosedRecords]:
        """The same in order, at most so many in each."""
        for first in range(0, len(self), most):
            until = first + most
            yield ClosedRecords(self.rows, self.heads[first:until], self.candles[first:until], self.nths[first:until])

    @property
    def places(self) -> list[int]:
        """row * timeframes + column of each."""
        places: list[int] = (self.heads["row"] * np.int64(len(self.rows.timeframes)) + self.heads["column"]).tolist()
        return places

    def sources(self) -> list[tuple[int, int, int]]:
        """Of each: ms and counter of the entry that caused it, and its number among what that entry caused."""
        return list(zip(self.heads["ms"].tolist(), self.heads["counter"].tolist(), self.nths.tolist(), strict=True))

    def as_json(self) -> list[bytes]:
        """Each as `orjson.dumps(candle.as_document())` writes it."""
        values, texts, lengths = self._texts()
        ends = map(_end, self.heads["previous_close"].tolist(), self.rows.divisors[self.heads["row"]].tolist())
        heads = [
            part for place, end in zip(self.places, ends, strict=True) for part in (*self.rows.json_heads(place), end)
        ]
        blob = np.frombuffer(b"".join(heads), np.uint8)
        most = len(_BLOB) + 2 * _TIME_DIGITS + texts.shape[1] * texts.shape[2]
        out, bounds = np.empty(len(blob) + len(self) * most, np.uint8), np.zeros(len(self) + 1, np.int64)
        write_documents(blob, np.cumsum([0, *map(len, heads)]), values, texts, lengths, out, bounds)
        content = out[: bounds[-1]].tobytes()
        return [content[begin:end] for begin, end in pairwise(bounds.tolist())]

    def _texts(self) -> tuple[Array, Array, Array]:
        """Values, texts and their lengths, by CANDLE_FIELDS; KEPT where there is no value."""
        values = np.zeros((len(self), len(CANDLE_FIELDS.names)), np.int64)
        lengths = np.full(values.shape, DUE, np.int8)
        reals, divisors = values.view(np.float64), self.rows.divisors[self.heads["row"]]
        describe_closed(self.candles, divisors, values, reals, lengths)
        for n in np.nonzero(np.abs(self.candles["turnover"]) >= EXACT)[0].tolist():
            reals[n, VWAP] = exact_vwap(self.candles[n], int(divisors[n]))
        return values, write_texts(CANDLE_FIELDS.kinds, values, lengths, "json"), lengths


@lru_cache(maxsize=16_384)
def _end(previous_close: int, divisor: int) -> bytes:
    """What stands behind the name of a document's last field."""
    return orjson.dumps(previous_close / divisor) + b"}" if previous_close else b"null}"


@kernel
def number_events(heads: Array, nths: Array, ms: int, counter: int, number: int) -> None:
    """Continues from the last event, which was number `index` of that entry."""
    for i in range(heads.shape[0]):
        same = heads[i].ms == ms and heads[i].counter == counter
        ms, counter, number = heads[i].ms, heads[i].counter, number + 1 if same else 0
        nths[i] = number


@kernel
def describe_closed(candles: Array, divisors: Array, values: Array, reals: Array, lengths: Array) -> None:
    for i in range(candles.shape[0]):
        there = describe_candle(candles[i], 1, divisors[i], values[i], reals[i])
        for f in range(lengths.shape[1]):
            if there >> f & 1 == 0:
                lengths[i, f] = KEPT
        lengths[i, _CLOSED] = KEPT


@kernel
def _copy(source: Array, begin: int, end: int, out: Array, at: int) -> int:
    for n in range(begin, end):
        out[at + n - begin] = source[n]
    return at + end - begin


@kernel
def write_documents(
    heads: Array, ends: Array, values: Array, texts: Array, lengths: Array, out: Array, bounds: Array
) -> None:
    """Document after document into `out`, the i-th from bounds[i] to bounds[i + 1]; each has three heads, one end."""
    at = 0
    for i in range(values.shape[0]):
        for head in range(2):
            at = _copy(heads, ends[4 * i + head], ends[4 * i + head + 1], out, at)
            at = put_int(out, at, values[i, 0], _TIME_DIGITS)
        for f in range(_CLOSED):
            at = _copy(_BLOB, _ENDS[f], _ENDS[f + 1], out, at)
            if lengths[i, f] >= 0:
                at = _copy(texts[i, f], 0, lengths[i, f], out, at)
            else:
                at = _copy(_BLOB, _ENDS[_CLOSED + 1], _ENDS[_CLOSED + 2], out, at)
            if f == 0:
                at = _copy(heads, ends[4 * i + 2], ends[4 * i + 3], out, at)
        at = _copy(_BLOB, _ENDS[_CLOSED], _ENDS[_CLOSED + 1], out, at)
        at = _copy(heads, ends[4 * i + 3], ends[4 * i + 4], out, at)
        bounds[i + 1] = at


class Numbering:
    """Counts what one entry causes: each event gets the same number, however often it is published."""

    def __init__(self) -> None:
        self._event, self._events = ZERO_ID, 0
        self._rejection, self._rejections = ZERO_ID, 0

    def next_events(self, heads: Array) -> Array:
        """int64 (m,), for m EVENT_HEADs."""
        nths = np.zeros(len(heads), np.int64)
        number_events(heads, nths, *self._event, self._events)
        self._event = EntryId(int(heads["ms"][-1]), int(heads["counter"][-1]))
        self._events = int(nths[-1])
        return nths

    def next_rejection(self, source: EntryId) -> tuple[EntryId, int]:
        self._rejections = self._rejections + 1 if source == self._rejection else 0
        self._rejection = source
        return source, self._rejections

    def as_list(self) -> list[object]:
        return [str(self._event), self._events, str(self._rejection), self._rejections]

    @classmethod
    def from_list(cls, values: list[Any]) -> Numbering:
        numbering = cls()
        numbering._event, numbering._events = EntryId.parse(values[0]), int(values[1])
        numbering._rejection, numbering._rejections = EntryId.parse(values[2]), int(values[3])
        return numbering
