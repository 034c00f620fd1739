"""Runs the engine on the reference's inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from tests.reference.inputs import Entry as PlainEntry
from tests.reference.inputs import ReferenceInstrument, ReferenceSettings
from tests.shared.engine_candles import EngineCandle, engine_candles
from tests.shared.shown_candles import shown_candles
from utils.candles.engine import CandleEngine
from utils.candles.engine_output import EngineOutput
from utils.candles.kernels.layout import Count, Rules
from utils.journal.entries import Entry, EntryId, Kind
from utils.market.candle import Candle
from utils.market.instruments import Instrument
from utils.market.sessions import Session
from utils.market.timeframes import Timeframe


@dataclass(frozen=True)
class CalendarOfCases:
    """The hours of each instrument as given by the case."""

    by_token: dict[int, ReferenceInstrument]

    def for_instrument(self, instrument: Instrument, day: date) -> Session | None:
        hours = self.by_token[instrument.token]
        if hours.open_ms is None or hours.close_ms is None or hours.day_start_ms is None or hours.day_end_ms is None:
            return None
        return Session(day, hours.open_ms, hours.close_ms, hours.day_start_ms, hours.day_end_ms)

    def is_known(self, day: date) -> bool:
        return True


@dataclass
class EngineRun:
    """Output of a run: published revisions in order, final state of each closed candle, rejections by reason."""

    published: list[EngineCandle] = field(default_factory=list)
    final: dict[str, Candle] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    still_open: dict[str, Candle] = field(default_factory=dict)

    def add(self, output: EngineOutput) -> None:
        self.published += engine_candles(output)
        self.final |= {engine_candle.candle.id: engine_candle.candle for engine_candle in engine_candles(output)}
        self.rejected.update(rejection.reason for rejection in output.rejected)


def new_engine(instruments: Iterable[ReferenceInstrument], settings: ReferenceSettings) -> CandleEngine:
    rules = Rules(
        settings.grace_ms,
        settings.skew_ms,
        settings.z_min_ticks,
        settings.z_warn,
        settings.z_reject,
        settings.z_floor_ticks,
        settings.z_floor_bps,
        settings.z_accept_after,
    )
    timeframes = [Timeframe(name, length_ms) for name, length_ms in settings.timeframes]
    return CandleEngine(
        timeframes,
        rules,
        settings.z_window,
        CalendarOfCases({instrument.token: instrument for instrument in instruments}),
    )


def run_engine(
    entries: Sequence[PlainEntry],
    instruments: Sequence[ReferenceInstrument],
    settings: ReferenceSettings,
    batch: int = 64,
    restart_every: int = 0,
) -> EngineRun:
    """Feeds the engine in batches. Every `restart_every` batches a new engine is restored from a snapshot."""
    engine, run = new_engine(instruments, settings), EngineRun()
    for n, start in enumerate(range(0, len(entries), batch)):
        part = [
            Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload)
            for entry in entries[start : start + batch]
        ]
        run.add(engine.process(part))
        if restart_every and n % restart_every == restart_every - 1:
            snapshot = engine.snapshot()
            engine = new_engine(instruments, settings)
            engine.restore(snapshot)
    run.counts = Counter({count.name.lower(): int(engine.shard.counts[count]) for count in Count})
    run.counts["outside"] = int(engine.shard.instruments["outside"].sum())
    run.counts["held_now"] = int((engine.shard.instruments["held_length"] > 0).sum())
    run.still_open = {candle.id: candle for candle, closed in shown_candles(engine) if not closed}
    return run
