"""The candle worker's side of Redis: ticks in; state, live view, closed candles and rejections out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import redis

from utils.candle import Candle, iso_ist
from utils.candles.engine import ClosedCandle, RejectedPacket
from utils.feed import Entry, EntryId
from utils.instruments import Instrument
from utils.keys import Keys
from utils.kite_frames import price_divisor
from utils.stores.outbox import Outbox, Saying, saying_id
from utils.stores.tick_reader import Gap, TickReader

_WRITTEN_AT_ONCE = 2_000  # hashes in one pipeline: bounds the reply buffer


class CandleStore:
    """What the candle worker reads and writes in Redis. Every method raises RedisError and may be repeated."""

    def __init__(self, client: redis.Redis, keys: Keys, closed_max: int, rejected_max: int) -> None:
        self._client = client
        self._keys = keys
        self._closed_max = closed_max
        self._rejected_max = rejected_max
        self._outboxes: dict[tuple[str, int], Outbox] = {}
        self._reader = TickReader(client, keys)

    def read_ticks(self, positions: Mapping[int, EntryId], block_ms: int, most: int) -> list[tuple[int, list[Entry]]]:
        """Entries of each shard beyond its position, at most so many each; waits when there are none."""
        return self._reader.read(positions, block_ms, most)

    def new_gaps(self) -> list[Gap]:
        """What was dropped from the streams before it was read, since the last call."""
        gaps, self._reader.gaps = self._reader.gaps, []
        return gaps

    def load_state(self, shard: int) -> bytes | None:
        """The shard's snapshot. What comes after it is said again, to whatever Redis this is now."""
        for outbox in self._outboxes_of(shard):
            outbox.forget()
        self._reader.begin(shard)
        content = self._client.get(self._keys.candle_state(shard))
        return content if isinstance(content, bytes) else None

    def save_state(self, shard: int, content: bytes) -> None:
        """OutboxMovedError instead of a snapshot that is further than what Redis knows to have been said."""
        for outbox in self._outboxes_of(shard):
            outbox.check()
        pipeline = self._client.pipeline(transaction=True)
        pipeline.set(self._keys.candle_state(shard), content)
        pipeline.hset(self._keys.candle_state_counts(), str(shard), self._reader.note_of(shard))
        pipeline.execute()

    def say_closed(self, shard: int, closed: Sequence[ClosedCandle]) -> int:
        """To the closed stream and its channels; returns how many had not been said before."""
        sayings = [
            Saying(
                saying_id(one.source.ms, one.source.counter, one.nth),
                orjson.dumps(one.candle.as_document()),
                self._keys.closed_channel(one.candle.symbol, one.candle.timeframe),
            )
            for one in closed
        ]
        return self._outbox(self._keys.closed(shard), shard, own_ids=True).say(sayings) if sayings else 0

    def say_rejected(self, shard: int, rejected: Sequence[RejectedPacket]) -> int:
        """To the bounded stream of rejected packets, with reason and bytes."""
        sayings = [
            Saying(saying_id(one.source.ms, one.source.counter, one.nth), orjson.dumps(_rejection(one)))
            for one in rejected
        ]
        return self._outbox(self._keys.rejected(), shard, own_ids=False).say(sayings) if sayings else 0

    def _outbox(self, stream: str, shard: int, own_ids: bool) -> Outbox:
        known = self._outboxes.get((stream, shard))
        if known is None:
            most = self._closed_max if own_ids else self._rejected_max
            known = Outbox(self._client, self._keys, stream, shard, most, own_ids)
            self._outboxes[stream, shard] = known
        return known

    def _outboxes_of(self, shard: int) -> list[Outbox]:
        return [outbox for (_, of_shard), outbox in self._outboxes.items() if of_shard == shard]

    def write_live(
        self, candles: Sequence[tuple[Candle, bool]], ticks: Sequence[tuple[Instrument, dict[str, int]]]
    ) -> None:
        """The live view: a hash for each candle (True: just closed) and for each instrument's latest tick."""
        hashes = [
            (self._keys.candle(one.symbol, one.timeframe), _live_candle(one, closed)) for one, closed in candles
        ]
        hashes += [(self._keys.tick(instrument.symbol), _live_tick(instrument, tick)) for instrument, tick in ticks]
        for start in range(0, len(hashes), _WRITTEN_AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for name, fields in hashes[start : start + _WRITTEN_AT_ONCE]:
                absent = [field for field, value in fields.items() if value is None]
                pipeline.hset(name, items=[part for pair in fields.items() if pair[1] is not None for part in pair])
                if absent:
                    pipeline.hdel(name, *absent)
            pipeline.execute()


def _rejection(one: RejectedPacket) -> dict[str, Any]:
    return {
        "reason": one.reason,
        "token": one.token,
        "symbol": one.symbol,
        "source": str(one.source),
        "received": iso_ist(one.source.ms),
        "packet": one.packet.hex(),
    }


def _live_candle(candle: Candle, closed: bool) -> dict[str, Any]:
    fields = candle.as_document()
    del fields["_id"], fields["k"]
    fields["complete"] = "true" if candle.complete else "false"
    fields["closed"] = "true" if closed else "false"
    return fields


def _live_tick(instrument: Instrument, tick: dict[str, int]) -> dict[str, Any]:
    divisor = price_divisor(instrument.token)
    prices = {
        "last_price": tick["price"],
        "average_price": tick["average"],
        "day_open": tick["day_open"],
        "day_high": tick["day_high"],
        "day_low": tick["day_low"],
        "previous_close": tick["previous_close"],
        "bid": tick["bid"],
        "ask": tick["ask"],
    }
    volume = {"volume": tick["cum"], "last_quantity": tick["quantity"], "oi": tick["oi"]}
    times = {"last_trade_time": tick["trade_ms"], "exchange_time": tick["exchange_ms"]} if tick["timed"] else {}
    return {
        "token": instrument.token,
        "symbol": instrument.symbol,
        **{name: price / divisor for name, price in prices.items() if price},
        **(volume if tick["has_volume"] else {}),
        **{name: iso_ist(at_ms) for name, at_ms in times.items() if at_ms},
        "received": iso_ist(tick["receive_ms"]),
        "t": tick["receive_ms"],
    }
