"""Who the rows of a shard are: fixed from one `subscribed` mark to the next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import orjson

from utils.candles.kernels.layout import Array
from utils.kite.frames import price_divisor
from utils.market.instruments import Instrument

JsonHeads = tuple[bytes, bytes, bytes]


class Rows:
    """The instruments in the order of their rows, and what follows from them alone, found once."""

    def __init__(self, instruments: Sequence[Instrument], timeframes: Sequence[str]) -> None:
        self.instruments = tuple(instruments)
        self.timeframes = tuple(timeframes)
        self.divisors: Array = np.array([price_divisor(one.token) for one in self.instruments], np.int64)
        self._json_heads: dict[int, JsonHeads] = {}

    @cached_property
    def as_json(self) -> bytes:
        """A JSON array of the instruments."""
        return orjson.dumps([one.as_dict() for one in self.instruments])

    def at(self, place: int) -> tuple[Instrument, str]:
        """Instrument and timeframe of a place: row * timeframes + column."""
        row, column = divmod(place, len(self.timeframes))
        return self.instruments[row], self.timeframes[column]

    def json_heads(self, place: int) -> JsonHeads:
        """What stands before the id's time, before `k`'s, and after `t`, in the document of each candle there."""
        heads = self._json_heads.get(place)
        if heads is None:
            instrument, timeframe = self.at(place)
            symbol, frame = orjson.dumps(instrument.symbol), orjson.dumps(timeframe)
            key = symbol[:-1] + b"|" + frame[1:-1] + b"|"
            who = b',"symbol":%b,"timeframe":%b,"token":%d' % (symbol, frame, instrument.token)
            heads = self._json_heads[place] = (b'{"_id":' + key, b'","k":' + key, who)
        return heads
