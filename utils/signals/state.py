"""How far the signals of a shard are: the engine, the entries it is true for, and which rows were warmed. Pure.

A snapshot is of one shard. One of several shards, or of instruments that changed shards, can be split.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from utils.indicators.kernels import STATE_DTYPE
from utils.indicators.snapshot import SnapshotError, pack, read_head, unpack
from utils.indicators.table import ARRAYS
from utils.indicators.values import LatestValues
from utils.journal.entries import EntryId
from utils.market.candle import Candle
from utils.market.hours_kept import Kept
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar
from utils.market.signal import Pair, Signal
from utils.signals.engine import SignalEngine
from utils.signals.price_scale import Jump
from utils.signals.warmup import Cut
from utils.signals.warmup_plan import BARS_NEEDED
from utils.stores.signal_store import ClosedEntry

MakeEngine = Callable[[], SignalEngine]
Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Processed:
    """What came of some entries of the closed streams."""

    fired: list[tuple[ClosedEntry, Signal]]
    latest: list[LatestValues]
    skipped: int
    unreadable: int
    errors: list[str]
    jumps: list[Jump]


@dataclass(slots=True)
class SignalProgress:
    """`positions` are the last entries that are in the engine. `cut_ms` is the market time up to which the first
    warm-up reaches: a restart in the middle of it begins the same one again."""

    engine: SignalEngine
    positions: dict[int, EntryId]
    cut_ms: int
    warmed: set[Pair]
    was_warmed_up: bool = False

    @classmethod
    def fresh(cls, make_engine: MakeEngine, positions: Mapping[int, EntryId], cut_ms: int) -> SignalProgress:
        """Before anything: what is closed up to here is warm-up, what comes after it gives signals."""
        return cls(make_engine(), dict(positions), cut_ms, set())

    @classmethod
    def restore(cls, make_engine: MakeEngine, packed: bytes) -> SignalProgress:
        """From `snapshot`. SnapshotError."""
        engine = make_engine()
        header = engine.restore(packed)
        try:
            positions = {int(shard): EntryId.parse(text) for shard, text in header["positions"].items()}
            warmed = {(symbol, name) for name, symbols in header["warmed"].items() for symbol in symbols}
            return cls(engine, positions, int(header["cut_ms"]), warmed, bool(header["was_warmed_up"]))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise SnapshotError(f"the snapshot's header is damaged: {error!r:.200}") from None

    def snapshot(self) -> bytes:
        """Everything, for one SET."""
        warmed: dict[str, list[str]] = {}
        for symbol, timeframe in sorted(self.warmed):
            warmed.setdefault(timeframe, []).append(symbol)
        positions = {str(shard): str(entry_id) for shard, entry_id in self.positions.items()}
        header = {
            "positions": positions,
            "cut_ms": self.cut_ms,
            "was_warmed_up": self.was_warmed_up,
            "warmed": warmed,
        }
        return self.engine.snapshot(header)

    def next_cut(self, now_ms: int) -> Cut:
        """Where the next warm-up ends and the stream continues."""
        return Cut(dict(self.positions), now_ms if self.was_warmed_up else self.cut_ms)

    def note_warmed(self, done: Iterable[Pair]) -> None:
        """A warm-up came to its end; these rows need no other."""
        self.warmed.update(done)
        self.was_warmed_up = True

    def cold(self, wanted: Iterable[Pair]) -> list[Pair]:
        """Those wanted that were not warmed yet."""
        return [pair for pair in wanted if pair not in self.warmed]

    def process(self, entries: Sequence[ClosedEntry]) -> Processed:
        """Apply entries in the order of their streams, and move on to behind them."""
        readable: list[tuple[ClosedEntry, Candle]] = [
            (entry, entry.candle) for entry in entries if entry.candle is not None
        ]
        applied = self.engine.apply([candle for _, candle in readable])
        for entry in entries:
            self.positions[entry.shard] = entry.id
        return Processed(
            fired=[(readable[fired.at][0], fired.signal) for fired in applied.fired],
            latest=list(applied.latest.values()),
            skipped=applied.skipped,
            unreadable=len(entries) - len(readable),
            errors=applied.errors,
            jumps=applied.jumps,
        )

    def symbols(self) -> set[str]:
        """All instruments that are known in here."""
        return {symbol for symbol, _ in self.warmed} | self.engine.newest_ms().keys()

    def expired(self, watched: Collection[str], now_ms: int) -> set[str]:
        """Those that nobody watches any more, and that had no candle today or yesterday."""
        since, newest = ist_date(now_ms) - timedelta(days=1), self.engine.newest_ms()
        unwatched = self.symbols() - set(watched)
        return {symbol for symbol in unwatched if ist_date(newest.get(symbol, 0)) < since}

    def drop(self, symbols: Collection[str]) -> None:
        """Instruments that come no more leave engine and snapshot."""
        self.engine.drop(symbols)
        self.warmed = {pair for pair in self.warmed if pair[0] not in symbols}

    def timeframes(self) -> set[str]:
        """All that are known in here."""
        return {name for _, name in self.warmed} | self.engine.timeframes

    def drop_timeframes(self, names: Collection[str]) -> None:
        """Timeframes that left TIMEFRAMES leave engine and snapshot."""
        self.engine.drop_timeframes(names)
        self.warmed = {pair for pair in self.warmed if pair[1] not in names}

    def jumped(self, wanted: Iterable[Pair]) -> str:
        """Of instruments with a row that is not warm: the jumps of their price scale, for the health report."""
        jumps = {jump.symbol: jump for jump in self.engine.jumps}
        of_them = [pair for pair in wanted if pair[0] in jumps] if jumps else []
        cold = sorted({symbol for symbol, name in of_them if self.engine.bars(symbol, name) < BARS_NEEDED})
        return ";".join(jumps[symbol].as_text() for symbol in cold)

    def seen_ms(self) -> int:
        """Market time of the newest thing that is in here."""
        return max([self.cut_ms, *(position.ms for position in self.positions.values())])


def missed_a_session(seen_ms: int, next_ms: int, kept: Iterable[Kept], calendar: SessionCalendar) -> bool:
    """Whether a full trading day of one of these hours lies between two instants.

    Then its rows have a hole that only a warm-up fills.
    """
    seen, upcoming = ist_date(seen_ms), ist_date(next_ms)
    return any(
        upcoming > calendar.next_trading_day(instrument.session_class, seen, instrument.places) for instrument in kept
    )


def split(packed: bytes, symbols_of: Mapping[int, Collection[str]]) -> dict[int, bytes]:
    """For each shard whose position is in the snapshot, the one of its own symbols. SnapshotError."""
    state, arrays = unpack(packed, [STATE_DTYPE, np.dtype(np.float64)])
    try:
        shards = [shard for shard in symbols_of if str(shard) in state["caller"]["positions"]]
        return {shard: _part(state, arrays, shard, set(symbols_of[shard])) for shard in shards}
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise SnapshotError(f"the snapshot cannot be split: {error!r:.200}") from None


def rows_of(packed: bytes) -> dict[str, set[str]]:
    """By timeframe the instruments that have a row, whatever version the snapshot is of; none if unreadable.

    Only it knows the hashes that are left behind when nobody resumes from the snapshot.
    """
    try:
        content = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        tables: Any = read_head(content)[0]["header"]["tables"]
        return {str(table["timeframe"]): set(map(str, table["symbols"])) for table in tables}
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
    published = [entry for entry in state["said"] if entry[0] in symbols]
    jumps = [jump for jump in state.get("jumps", []) if jump["symbol"] in symbols]
    caller = _caller(state["caller"], shard, symbols)
    return pack({**state, "caller": caller, "tables": tables, "said": published, "jumps": jumps}, kept)


def _caller(caller: Mapping[str, Any], shard: int, symbols: Collection[str]) -> dict[str, Any]:
    warmed = {name: [symbol for symbol in found if symbol in symbols] for name, found in caller["warmed"].items()}
    return {**caller, "positions": {str(shard): caller["positions"][str(shard)]}, "warmed": warmed}
