"""Row 4, first half: a minute's end with all instruments, while ticks keep flowing in bursts once a second."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.bars import random_bars
from bench.indicator_state import warm_table
from bench.load import Load
from bench.measure import Log, percentile
from bench.processes import BenchError, Stage, Usage, market_clock
from bench.results import Row, of
from bench.rows_latency import SEVEN_TIMEFRAMES, described_usage, shards_of, start_generator, usage_figures
from bench.synthetic import OPEN_MS, Market
from strategies import load_strategies
from utils.journal.entries import ZERO_ID, EntryId
from utils.keys import Keys
from utils.market.clock import MarketClock, parse_market_clock
from utils.market.entry_limit import UntilTimeOfDay
from utils.signals.engine import SignalEngine
from utils.signals.state import SignalProgress

MINUTE_MS = 60_000
WARM_BARS = 300
START_MS = 18_000  # for the processes to be ready; otherwise the minute after is the first
WATCH_MS = 15_000  # after a minute's end, until everything has to be published
SAMPLED = 60
_MINUTE = b'"timeframe":"1m"'
BROKERS_MOST = 9_000
CLOSING_NOTE = "a candle closes with its instrument's first tick of the new minute; all tick in one burst a second"


@dataclass
class _Seen:
    """The output of one minute, by arrival (market ms)."""

    boundary_ms: int
    decided: list[int] = field(default_factory=list)
    published: list[int] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    raw: list[tuple[bytes, list[Any], int]] = field(default_factory=list)
    minutes: int = 0
    indicators_ms: int = 0
    are_indicators_there: bool = True
    others: int = 0


@dataclass(frozen=True, slots=True)
class Minutes:
    """`boundaries` minutes' ends with `instruments`; ticks flow for at least `lead_ms` before the first."""

    instruments: int
    boundaries: int
    lead_ms: int = 12_000


def boundary_rows(stage: Stage, sizes: tuple[Minutes, ...], log: Log) -> list[Row]:
    """Measures each size with an empty Redis and fresh workers; the figures are of each minute."""
    return [row for size in sizes for row in _of_size(stage, size, log)]


def _of_size(stage: Stage, size: Minutes, log: Log) -> list[Row]:
    count = size.instruments
    log(f"4. a minute's end with {count} instruments, {size.boundaries} time(s)")
    stage.client.flushall()
    shards = shards_of(count)
    stage.write_instruments([f"NSE:S{row:05d}" for row in range(count)])
    _store_warm_state(stage, count, shards)
    text = market_clock(10, 1, 60 - (size.lead_ms + START_MS) // 1000)
    clock = parse_market_clock(text)
    environment = stage.environment(
        MARKET_CLOCK=text, TIMEFRAMES=SEVEN_TIMEFRAMES, CONNECTIONS=str(shards), WARMUP="false"
    )
    try:
        for process in ("candle_worker", "signal_worker"):
            stage.start(process, environment)
        for process in ("candle_worker", "signal_worker"):
            stage.wait_for(process, shards)
        return _measured(stage, size, clock, text, shards)
    finally:
        stage.end()


def _measured(stage: Stage, size: Minutes, clock: MarketClock, text: str, shards: int) -> list[Row]:
    count = size.instruments
    first = -(-(clock.now_ms() + size.lead_ms) // MINUTE_MS) * MINUTE_MS
    seconds = (first + (size.boundaries - 1) * MINUTE_MS - clock.now_ms() + WATCH_MS) / 1000
    sent_path = stage.directory / "boundary.npy"
    load = Load(stage.redis_url, text, count, shards, 1.0, seconds, (), str(sent_path), burst=True)
    generator = start_generator(stage, load)
    stage.mark()
    found = [_watch(stage, clock, count, shards, first + index * MINUTE_MS) for index in range(size.boundaries)]
    usage = stage.usage()
    generator.end()
    return _rows(count, found, usage)


def _store_warm_state(stage: Stage, count: int, shards: int) -> None:
    """Stores a state for the signal worker in which every 1m row is warm up to 10:01."""
    now_ms = OPEN_MS + 46 * MINUTE_MS
    bars = random_bars(WARM_BARS, count, now_ms, Market.of(count).price / 100)
    engine = SignalEngine(load_strategies(("momentum",)), UntilTimeOfDay(15 * 60 + 15))
    engine._tables["1m"] = warm_table(bars, WARM_BARS)
    names = SEVEN_TIMEFRAMES.split(",")
    warmed = {(f"NSE:S{row:05d}", name) for row in range(count) for name in names}
    positions = dict.fromkeys(range(shards), ZERO_ID)
    progress = SignalProgress(engine, positions, now_ms, warmed, was_warmed_up=True)
    stage.client.set("signal-state:{a}", progress.snapshot())


def _watch(stage: Stage, clock: MarketClock, count: int, shards: int, boundary_ms: int) -> _Seen:
    """Reads the streams until all candles, sampled indicators and signals of the minute are there."""
    bucket_ms, seen = boundary_ms - MINUTE_MS, _Seen(boundary_ms)
    positions: Any = {name(shard): "$" for shard in range(shards) for name in (Keys().closed, Keys().signals)}
    sampled = [f"indicators:NSE:S{row:05d}:1m" for row in range(0, count, max(1, count // SAMPLED))]
    _sleep_until(clock, boundary_ms - 2_000)
    positions = {name: _last_id(stage, name) for name in positions}
    while clock.now_ms() < boundary_ms + WATCH_MS:
        answer: Any = stage.client.xread(positions, count=5_000, block=5)
        for name, entries in answer or []:
            positions[name.decode()] = entries[-1][0]
            # Parsed after the end: on two cores the watcher's own work would add to what it measures.
            seen.raw.append((name, entries, clock.now_ms()))
            seen.minutes += sum(_MINUTE in fields[b"json"] for _, fields in entries)
        if seen.minutes >= count and not seen.indicators_ms:
            if _are_at(stage, sampled, bucket_ms):
                seen.indicators_ms = clock.now_ms()
        elif seen.indicators_ms and clock.now_ms() > seen.indicators_ms + 1_000:
            break
    for name, entries, now_ms in seen.raw:
        _note(seen, name, entries, now_ms, bucket_ms)
    if len(seen.decided) < count:
        raise BenchError(f"of {count} candles {len(seen.decided)} were published {WATCH_MS // 1000} s after the end")
    if not seen.indicators_ms:
        seen.indicators_ms, seen.are_indicators_there = clock.now_ms(), False
    return seen


def _note(seen: _Seen, name: bytes, entries: list[Any], now_ms: int, bucket_ms: int) -> None:
    for entry_id, fields in entries:
        document = orjson.loads(fields[b"json"])
        if name.startswith(b"signals:"):
            seen.signals.append(now_ms)
        elif document["timeframe"] == "1m" and document["t"] == bucket_ms and document["rev"] == 0:
            seen.decided.append(EntryId.parse(entry_id).ms)
            seen.published.append(now_ms)
        else:
            seen.others += 1


def _are_at(stage: Stage, names: list[str], bucket_ms: int) -> bool:
    pipeline = stage.client.pipeline(transaction=False)
    for name in names:
        pipeline.hget(name, "t")
    return all(value is not None and int(value) >= bucket_ms for value in pipeline.execute())


def _last_id(stage: Stage, stream: str) -> str:
    newest: Any = stage.client.xrevrange(stream, count=1)
    return newest[0][0].decode() if newest else "0-0"


def _sleep_until(clock: MarketClock, at_ms: int) -> None:
    time.sleep(max(0.0, (at_ms - clock.now_ms()) / 1000))


def _rows(count: int, found: list[_Seen], usage: dict[str, Usage]) -> list[Row]:
    each = [sorted(p - d for p, d in zip(boundary.published, boundary.decided, strict=True)) for boundary in found]
    after_end = [max(boundary.published) - boundary.boundary_ms for boundary in found]
    indicators = [boundary.indicators_ms - max(boundary.decided) for boundary in found]
    signals = [max([boundary.indicators_ms, *boundary.signals]) - max(boundary.decided) for boundary in found]
    others = f"{', '.join(str(boundary.others) for boundary in found)} candles of other timeframes closed too"
    late = [boundary for boundary in found if not boundary.are_indicators_there]
    missing = f"not all were there {WATCH_MS // 1000} s after the minute's end, {len(late)} time(s); " if late else ""
    fired = (
        f"{missing}signals: {', '.join(str(len(boundary.signals)) for boundary in found)}; {described_usage(usage)}"
    )
    middle, last = [percentile(delays, 0.5) for delays in each], [delays[-1] for delays in each]
    published = {"p50_ms": percentile(middle, 0.5), "p99_ms": max(percentile(delays, 0.99) for delays in each)}
    to = f"minute's end, {count} instruments: "
    decided = f"{to}close decision to published, "
    is_full = count == BROKERS_MOST
    targets = {"": 500.0} if is_full else {}
    return [
        Row("4", f"{decided}middle candle", "ms", of(middle), {}, {}, False, others),
        Row("4", f"{decided}last candle", "ms", of(last), {}, {"": 250.0} if is_full else {}, False, "", published),
        Row("4", f"{to}minute over to last candle published", "ms", of(after_end), {}, {}, False, CLOSING_NOTE),
        Row("4", f"{to}last decision to all indicators", "ms", of(indicators), {}, targets, False, missing),
        Row(
            *("4", f"{to}last decision to all indicators and signals", "ms", of(signals), {}, targets),
            higher_is_better=False,
            note=fired,
            figures=usage_figures(usage),
        ),
    ]
