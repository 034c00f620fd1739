"""Row 4, third part: how many ticks a second the live view keeps up with, the rate growing step by step."""

from __future__ import annotations

from dataclasses import dataclass

from bench.live_probe import LiveProbe
from bench.load import SENT_KEY, Load
from bench.measure import Log, percentile
from bench.processes import Stage, Usage, market_clock, wait_until
from bench.results import Row, single
from bench.rows_latency import (
    SEVEN_TIMEFRAMES,
    WATCHED,
    described_usage,
    shards_of,
    start_generator,
    usage_figures,
)
from utils.market.clock import parse_market_clock

GROWTH = 1.5
HIGHEST_TICKS_PER_SECOND = 1_000_000.0
LAG_SLACK_MS = 150.0
WARM_UP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Step:
    """The measurement of one rate."""

    ticks_per_second: float
    first_half_ms: float
    second_half_ms: float
    usage: dict[str, Usage]

    @property
    def is_flat(self) -> bool:
        return self.second_half_ms <= 1.5 * self.first_half_ms + LAG_SLACK_MS


@dataclass(frozen=True, slots=True)
class Climb:
    """Steps of growing rates: ticks a second of an instrument in the first, seconds of each, most steps."""

    instruments: int
    first_rate: float
    step_seconds: float
    steps: int


def sustained_rows(stage: Stage, climbs: tuple[Climb, ...], log: Log) -> list[Row]:
    """Measures each number of instruments with an empty Redis and a fresh worker."""
    rows = []
    for climb in climbs:
        log(f"4. sustained rate with {climb.instruments} instruments, from {climb.first_rate:g}/s each on")
        rows.append(_row(climb, _climb(stage, climb)))
    return rows


def _climb(stage: Stage, climb: Climb) -> list[_Step]:
    """Raises the rate until the lag grows, or the rate is the highest to try."""
    stage.client.flushall()
    text, shards = market_clock(10, 5, 10), shards_of(climb.instruments)
    environment = stage.environment(MARKET_CLOCK=text, TIMEFRAMES=SEVEN_TIMEFRAMES, CONNECTIONS=str(shards))
    stage.start("candle_worker", environment)
    try:
        stage.wait_for("candle_worker", shards)
        load = Load(
            *(stage.redis_url, text, climb.instruments, shards, climb.first_rate),
            seconds=(climb.steps + 1) * climb.step_seconds + WARM_UP_SECONDS,
            watched=(),
            log_path=str(stage.directory / "climb.npy"),
            step_seconds=climb.step_seconds,
            growth=GROWTH,
        )
        start_generator(stage, load)
        return _steps(stage, climb, text)
    finally:
        stage.end()


def _steps(stage: Stage, climb: Climb, clock: str) -> list[_Step]:
    rows = range(0, climb.instruments, max(1, climb.instruments // WATCHED))
    wait_until(lambda: stage.client.exists(SENT_KEY) == 1, "the load begins", 60)
    probe = LiveProbe(stage.client, parse_market_clock(clock), {row: f"NSE:S{row:05d}" for row in rows})
    probe.watch(WARM_UP_SECONDS)
    found: list[_Step] = []
    while len(found) < climb.steps:
        probe.seen.clear()
        found.append(_step(stage, probe, climb.step_seconds))
        # One step may fail for a slow moment of the machine; two in a row may not.
        if not any(step.is_flat for step in found[-2:]) and len(found) > 1:
            break
        if found[-1].ticks_per_second > HIGHEST_TICKS_PER_SECOND:
            break
    return found


def _step(stage: Stage, probe: LiveProbe, seconds: float) -> _Step:
    """The lag is the age of the newest tick in a hash when it is first seen there."""
    sent, began_ms = _sent(stage), probe.clock.now_ms()
    stage.mark()
    probe.watch(seconds)
    rate = (_sent(stage) - sent) / (probe.clock.now_ms() - began_ms) * 1000
    seen = sorted(time for times in probe.seen.values() for time in times[1:])  # the first was there before
    ages = [float(at - received) for at, received in seen]
    half = len(ages) // 2
    never = seconds * 1000
    return _Step(
        rate,
        percentile(ages[:half], 0.5) if half else never,
        percentile(ages[half:], 0.5) if half else never + 2 * never,
        stage.usage(),
    )


def _sent(stage: Stage) -> int:
    return int(stage.client.get(SENT_KEY) or 0)


def _row(climb: Climb, steps: list[_Step]) -> Row:
    flat = [step for step in steps if step.is_flat]
    highest = flat[-1] if flat else None
    last = steps[-1]
    if last.is_flat:
        end = "the lag was flat at the highest rate that was tried"
    else:
        end = f"above it the lag grew, up to {last.second_half_ms:,.0f} ms at {last.ticks_per_second:,.0f} ticks/s"
    used = described_usage(highest.usage) if highest else "not even the first rate was sustained"
    figures = {f"lag_ms_at_{step.ticks_per_second:.0f}_ticks_per_second": step.second_half_ms for step in steps}
    return Row(
        part="4",
        name=f"sustained with flat lag: {climb.instruments} instruments, 7 timeframes",
        unit="ticks/s",
        ours=single(highest.ticks_per_second if highest else 0.0),
        note=f"{end}; steps of {climb.step_seconds:g} s, each {GROWTH:g} x the last; {used}",
        figures=figures | (usage_figures(highest.usage) if highest else {}),
    )
