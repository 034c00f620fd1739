"""The three scripts started by hand against a broker that is not the simulator: nothing depends on its being there.

Two judges. The reference (tests/reference), over the frames that the broker really sent, knows the project's rules.
The tape knows only what was traded: the broker shows every trade, so the candles have to be the tape's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER, WORKERS, Document, Scripts, pipeline, stores
from tests.e2e.plain_broker import Manners, PlainBroker, plain_broker
from tests.e2e.plain_market import MARKET, play, seconds_of, true_candles
from tests.reference.candles import reference_candles
from tests.reference.comparison import FIELDS, compare
from tests.reference.inputs import ReferenceSettings
from utils.market.clock import new_stepped_clock

MINUTES = {"1m": 1, "2m": 2, "5m": 5, "10m": 10, "1d": 0}
SETTINGS = ReferenceSettings(tuple((name, length * 60_000) for name, length in MINUTES.items()))
PLAY_SECONDS = 600.0
ALL_BUT_REV = tuple(field for field in FIELDS if field != "rev")

HEARTBEATS_SELDOM = 120  # market seconds; between two of them the connector's own marks carry the time

# All of them end where every timeframe's bucket ends: no candle is left open.
RUNS = (
    Manners("from before the open"),
    Manners(
        "quote packets first, pre-open volume, bid equal to ask, times ahead of the clock",
        cached_quote_on_subscribe=True,
        preopen_volume=4_321,
        depth="equal",
        exchange_time_ahead_seconds=2,
        seed=2,
    ),
    Manners(
        "no cached packets, no depth, heartbeats seldom",
        first_packet_after_seconds=30,
        depth="none",
        heartbeat_every_seconds=HEARTBEATS_SELDOM,
        seed=3,
    ),
    Manners(
        "from mid-session, quote packets first, heartbeats seldom",
        start="10:52:30",
        until="11:15",
        preopen_volume=777,
        cached_quote_on_subscribe=True,
        heartbeat_every_seconds=HEARTBEATS_SELDOM,
        seed=4,
    ),
)


@dataclass
class Played:
    """A run that is over, everything drained."""

    scripts: Scripts
    broker: PlainBroker
    received: list[str]


@contextmanager
def played(manners: Manners, directory: Path) -> Iterator[Played]:
    """Starts everything at the market's start, plays the tape, and ends."""
    day = play(manners)
    clock = new_stepped_clock(directory / "market_clock", seconds_of(manners.start) * 1000)
    with stores(directory) as where, plain_broker(manners, day, clock) as broker:
        settings = {
            "INSTRUMENTS": ",".join(instrument.symbol for instrument in MARKET),
            "KITE_API_URL": f"http://127.0.0.1:{broker.port}",
            "KITE_WS_URL": f"ws://127.0.0.1:{broker.port}",
            "TIMEFRAMES": ",".join(MINUTES),
            **clock.environment,
        }
        listener = where.client.pubsub()  # type: ignore[no-untyped-call]
        listener.psubscribe("candles.closed.*")
        with pipeline(directory, where, settings) as scripts:
            for name in (CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER):
                scripts.start(name)
            scripts.until_connected()
            scripts.until_ready(SIGNAL_WORKER)  # what closes before is past to it; the candle worker catches up
            # One frame has to follow the last candle's end: otherwise the connector's stop makes it incomplete.
            over_s = _next_heartbeat(seconds_of(manners.until) + 9, manners)
            broker.play_until(seconds_of(manners.until) + 8)
            scripts.until(lambda: _last_minute_is_closed(scripts, manners), "the last minute is closed", PLAY_SECONDS)
            broker.play_until(over_s + 1)
            scripts.until(lambda: clock.now_ms() >= over_s * 1000, "the tape is over", PLAY_SECONDS)
            scripts.until_ready(*WORKERS)
            _until_live_view_is_right(scripts, broker)
            scripts.drain()
            received = [
                message["channel"].decode()
                for message in iter(lambda: listener.get_message(timeout=0.2), None)
                if message["type"] == "pmessage"
            ]
            yield Played(scripts, broker, received)


def _next_heartbeat(second: int, manners: Manners) -> int:
    return -(-second // manners.heartbeat_every_seconds) * manners.heartbeat_every_seconds


def _last_minute_is_closed(scripts: Scripts, manners: Manners) -> bool:
    """Whether the last minute is closed. With rare heartbeats only the connector's marks can have closed it."""
    last_start_ms = (seconds_of(manners.until) - 60) * 1000
    closed = {
        entry["symbol"]
        for entry in scripts.closed_stream()
        if (entry["timeframe"], entry["t"]) == ("1m", last_start_ms)
    }
    return closed == {instrument.symbol for instrument in MARKET}


@pytest.mark.parametrize("manners", RUNS, ids=[run.name for run in RUNS])
def test_another_broker(manners: Manners, tmp_path: Path) -> None:
    with played(manners, tmp_path) as run:
        candles = run.scripts.candles_published_once()
        assert len(run.broker.sent) == 1, f"the connector connected {len(run.broker.sent)} times"
        _equal_the_reference(run.broker, candles)
        # Without a cached packet the first live one has to serve as the baseline, and its trade is in no candle.
        if not manners.first_packet_after_seconds:
            _equal_the_tape(run.broker, manners, candles)
        assert sorted(run.received) == sorted(
            f"candles.closed.{entry['timeframe']}.{entry['symbol']}" for entry in run.scripts.closed_stream()
        )
        _instruments_and_indicators(run)


def _equal_the_reference(broker: PlainBroker, candles: list[Document]) -> None:
    reference = reference_candles(broker.sent[0], [instrument.reference for instrument in MARKET], SETTINGS)
    assert compare(reference.candles, candles, ALL_BUT_REV) == []
    assert len(candles) > 60


def _equal_the_tape(broker: PlainBroker, manners: Manners, candles: list[Document]) -> None:
    """What the broker traded, bucket by bucket; what was before the first live second stood in cached packets."""
    found = {(bar["symbol"], bar["timeframe"], bar["t"] // 1000): bar for bar in candles}
    ahead = manners.exchange_time_ahead_seconds
    for timeframe, minutes in MINUTES.items():
        if minutes == 0:
            continue
        expected = {
            (symbol, timeframe, start): candle
            for (symbol, start), candle in true_candles(broker.day, minutes, broker.live_from_s, ahead).items()
            if start < seconds_of(manners.until)
        }
        assert {key for key in found if key[1] == timeframe} == expected.keys()
        for key, true in expected.items():
            candle, is_index = found[key], key[0] == "NSE:NIFTY 50"
            prices = tuple(round(candle[name] * 100) for name in ("open", "high", "low", "close"))
            assert prices == (true.open, true.high, true.low, true.close), (key, candle)
            assert candle["ticks"] == true.ticks, (key, candle)
            assert candle["volume"] == (None if is_index else true.volume), (key, candle)
            assert candle["oi"] == (true.oi if key[0].startswith("NFO") else None), (key, candle)
            is_complete = key[2] > broker.live_from_s
            assert candle["complete"] is is_complete and candle["timed_by"] == "exchange", (key, candle)


def _until_live_view_is_right(scripts: Scripts, broker: PlainBroker) -> None:
    """Waits until the hashes show the last tick, while the feed is still up."""
    last: list[str] = ["never looked"]

    def is_right() -> bool:
        last[:] = _live_view_errors(scripts, broker)
        return not last

    try:
        scripts.until(is_right, "the live view shows the last tick", 60)
    except AssertionError:
        assert last == []
        raise


def _live_view_errors(scripts: Scripts, broker: PlainBroker) -> list[str]:
    """Errors in the last tick, the last minute, and the day's candle, which covers the full tape in any run."""
    day, errors = true_candles(broker.day, 0, 0), []
    for instrument in MARKET:
        true = day[instrument.symbol, seconds_of("09:15")]
        volume = "" if instrument.is_index else str(true.volume)
        tick = _hash(scripts, f"tick:{instrument.symbol}")
        wanted = (instrument.symbol, str(instrument.token), true.close, volume)
        shown = (tick.get("symbol"), tick.get("token"), _wire(tick, "last_price"), tick.get("volume", ""))
        if shown != wanted:
            errors.append(f"tick:{instrument.symbol} should be {wanted}, is {tick}")
        candle = _hash(scripts, f"candle:{instrument.symbol}:1d")
        wanted_prices = (true.open, true.high, true.low, true.close)
        prices = tuple(_wire(candle, name) for name in ("open", "high", "low", "close"))
        shown_state = (candle.get("volume", ""), candle.get("timed_by"), candle.get("closed"))
        if prices != wanted_prices or shown_state != (volume, "exchange", "false"):
            errors.append(f"candle:{instrument.symbol}:1d should be {wanted_prices} {volume}, is {candle}")
        minute = _hash(scripts, f"candle:{instrument.symbol}:1m")
        if _wire(minute, "close") != true.close or not minute.get("start", "").startswith("2026-11-20T"):
            errors.append(f"candle:{instrument.symbol}:1m should close at {true.close}, is {minute}")
    return errors


def _hash(scripts: Scripts, name: str) -> dict[str, str]:
    fields: Any = scripts.stores.client.hgetall(name)
    return {key.decode(): value.decode() for key, value in fields.items()}


def _wire(fields: dict[str, str], name: str) -> int:
    return round(float(fields.get(name, "0")) * 100)


def _instruments_and_indicators(run: Played) -> None:
    client = run.scripts.stores.client
    symbols: Any = client.hkeys("instruments")
    assert {instrument.symbol for instrument in MARKET} <= {name.decode() for name in symbols}
    for instrument in MARKET:
        indicators: Any = client.hgetall(f"indicators:{instrument.symbol}:1m")
        assert b"sma20" in {name.replace(b"_", b"").lower() for name in indicators}, indicators
