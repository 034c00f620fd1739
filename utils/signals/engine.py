"""From closed candles to signals: the pure core of the signal worker. Reads no clock, socket, file or logger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from strategies import Proposal, Strategy
from utils.indicators import DEFAULT_PARAMETERS, IndicatorParameters, IndicatorTable, IndicatorValues, Updated
from utils.indicators.kernels import SKIPPED, STATE_DTYPE
from utils.indicators.snapshot import SnapshotError, pack, unpack
from utils.indicators.table import ARRAYS
from utils.indicators.values import LatestValues
from utils.market.candle import Candle
from utils.market.entry_limit import EntryLimit, UntilTimeOfDay
from utils.market.instruments import Instrument
from utils.market.ist import ist_day
from utils.market.signal import Pair, Signal
from utils.signals.price_scale import Jump, Last, PriceScale


@dataclass(frozen=True, slots=True)
class Fired:
    """A signal, and the position of the candle that caused it among those that were applied."""

    at: int
    signal: Signal


@dataclass(slots=True)
class Applied:
    """What came of some candles: signals in the order of their candles, the newest values, how many candles were
    skipped, in `errors` what strategies raised (they never stop the others), and instruments whose prices jumped."""

    fired: list[Fired] = field(default_factory=list)
    latest: dict[Pair, LatestValues] = field(default_factory=dict)
    skipped: int = 0
    errors: list[str] = field(default_factory=list)
    jumps: list[Jump] = field(default_factory=list)


class SignalEngine:
    """Indicators and strategies of any number of instruments and timeframes.

    A candle that is older than its row's last, or the same again, is skipped and counted. A signal is published
    once, even when a revision of the candle fires again. No strategy is asked about a candle that `limit` does not
    allow: one that ends in the last minutes of its session, as `1d` candles do. A number is a time of day, in
    minutes IST.

    Where the price scale of an instrument changes over night (a split), its rows begin anew with the first candle
    behind it: no value is of both scales, and no strategy is asked before they are warm again.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        limit: EntryLimit | int,
        parameters: IndicatorParameters = DEFAULT_PARAMETERS,
        scale: PriceScale | None = None,
    ) -> None:
        self._strategies = tuple(strategies)
        self._limit = UntilTimeOfDay(limit) if isinstance(limit, int) else limit
        self._parameters = parameters
        self._tables: dict[str, IndicatorTable] = {}
        self._published: dict[Pair, list[str]] = {}  # ids published of a row's last candle that had any
        self._scale = scale or PriceScale()
        self._jumps: dict[str, Jump] = {}  # the last one of each instrument that had any

    def warm(self, symbol: str, timeframe: str, candles: Sequence[Candle]) -> None:
        """Begin a row anew with candles of its past, in order: indicators only, no strategy is asked."""
        table = self._table(timeframe)
        table.reset(symbol)
        table.update(self.since_jump(candles))

    def know(self, instruments: Iterable[Instrument]) -> None:
        """Which price bands they have."""
        self._scale.know(instruments)

    def since_jump(self, candles: Sequence[Candle]) -> list[Candle]:
        """Those of a series in order that are on the price scale of its newest."""
        jump, from_ms = self._scale.last_jump(candles)
        self._note_jump(jump)
        return [candle for candle in candles if candle.start_ms >= from_ms]

    def note_marked(self, jump: Jump) -> None:
        """The candles from before it are marked."""
        if self._jumps.get(jump.symbol) == jump:
            self._jumps[jump.symbol] = replace(jump, is_marked=True)

    @property
    def jumps(self) -> list[Jump]:
        """The last one of each instrument that had any, by symbol."""
        return [self._jumps[symbol] for symbol in sorted(self._jumps)]

    def apply(self, candles: Sequence[Candle]) -> Applied:
        """Process closed candles in the order they were closed."""
        applied = Applied()
        for timeframe, positions in _by_timeframe(candles).items():
            updated = self._update(timeframe, [candles[at] for at in positions], applied)
            self._ask_strategies(applied, candles, positions, updated)
        applied.fired.sort(key=lambda fired: fired.at)
        return applied

    def latest(self) -> list[LatestValues]:
        """The newest values of every row."""
        return [
            LatestValues(symbol, timeframe, start_ms, values)
            for timeframe, table in self._tables.items()
            for symbol, start_ms, values in table.newest()
        ]

    def newest_ms(self) -> dict[str, int]:
        """Of each instrument the start of its newest candle in any timeframe, epoch ms; 0 without one."""
        newest: dict[str, int] = {}
        for table in self._tables.values():
            for symbol, start_ms, _ in table.newest():
                newest[symbol] = max(start_ms, newest.get(symbol, 0))
        return newest

    def drop(self, symbols: Collection[str]) -> None:
        """Instruments that come no more."""
        for table in self._tables.values():
            table.drop(symbols)
        self._published = {pair: ids for pair, ids in self._published.items() if pair[0] not in symbols}
        for known in (self._jumps, self._scale.classes):
            for symbol in known.keys() & set(symbols):
                known.pop(symbol)

    @property
    def timeframes(self) -> set[str]:
        """Those that have rows."""
        return set(self._tables)

    def drop_timeframes(self, names: Collection[str]) -> None:
        """Timeframes that come no more."""
        self._tables = {name: table for name, table in self._tables.items() if name not in names}
        self._published = {pair: ids for pair, ids in self._published.items() if pair[1] not in names}

    def bars(self, symbol: str, timeframe: str) -> int:
        """How many candles a row was given, 0 for one that is not known."""
        table = self._tables.get(timeframe)
        return table.bars(symbol) if table else 0

    def warm_rows(self) -> int:
        """Rows (an instrument in a timeframe) with every indicator warm."""
        return sum(table.warm_rows() for table in self._tables.values())

    def snapshot(self, header: dict[str, Any]) -> bytes:
        """The full state and the caller's JSON header in one block of bytes."""
        tables = [{"timeframe": name, "symbols": table.symbols} for name, table in self._tables.items()]
        published = [[symbol, timeframe, ids] for (symbol, timeframe), ids in self._published.items()]
        state = {
            "caller": header,
            "parameters": list(self._parameters.for_kernel()),
            "tables": tables,
            "said": published,  # its name since the first version
            "classes": self._scale.classes,
            "jumps": [asdict(jump) for jump in self.jumps],
        }
        return pack(state, [array for table in self._tables.values() for array in table.state()])

    def restore(self, packed: bytes) -> dict[str, Any]:
        """Go back to what `snapshot` gave; returns the caller's header. SnapshotError: it is of another version."""
        state, arrays = unpack(packed, [STATE_DTYPE, np.dtype(np.float64)])
        tables: dict[str, IndicatorTable] = {}
        try:
            if tuple(state["parameters"]) != tuple(self._parameters.for_kernel()):
                raise SnapshotError("the snapshot was made with other indicator parameters")
            for at, value in enumerate(state["tables"]):
                tables[value["timeframe"]] = IndicatorTable(self._parameters)
                tables[value["timeframe"]].restore(
                    value["symbols"], arrays[at * len(ARRAYS) : (at + 1) * len(ARRAYS)]
                )
            published = {(symbol, timeframe): ids for symbol, timeframe, ids in state["said"]}
            jumps = {value["symbol"]: Jump(**value) for value in state.get("jumps", [])}
            classes = dict(state.get("classes", {}))
            header: dict[str, Any] = state["caller"]
        except SnapshotError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SnapshotError(f"not a snapshot of this version ({error})") from None
        self._tables, self._published, self._jumps, self._scale.classes = tables, published, jumps, classes
        return header

    def _table(self, timeframe: str) -> IndicatorTable:
        if timeframe not in self._tables:
            self._tables[timeframe] = IndicatorTable(self._parameters)
        return self._tables[timeframe]

    def _update(self, timeframe: str, candles: Sequence[Candle], applied: Applied) -> Updated:
        """As the table does, each row from its last jump on."""
        table, parts, first = self._table(timeframe), [], 0
        for at, jump in self._found_jumps(table, candles):
            parts.append(table.update(candles[first:at]))
            table.reset(jump.symbol)
            first = at
            if self._note_jump(jump):
                applied.jumps.append(self._jumps[jump.symbol])
        parts.append(table.update(candles[first:]))
        return parts[0] if len(parts) == 1 else Updated.joined(parts)

    def _found_jumps(self, table: IndicatorTable, candles: Sequence[Candle]) -> list[tuple[int, Jump]]:
        """Each with the position of the candle that it lies before."""
        starts_ms, closes = table.ends([candle.symbol for candle in candles])
        new_days = np.array([candle.start_ms for candle in candles], dtype=np.int64)
        if not (ist_day(new_days) > ist_day(starts_ms)).any():
            return []
        found: list[tuple[int, Jump]] = []
        newest: dict[str, Last] = {}
        for at, (candle, known) in enumerate(
            zip(candles, map(Last, starts_ms.tolist(), closes.tolist()), strict=True)
        ):
            last = newest.get(candle.symbol, known)
            jump = self._scale.jump(last, candle) if last.start_ms else None
            if jump is not None:
                found.append((at, jump))
            if candle.start_ms >= last.start_ms:
                newest[candle.symbol] = Last(candle.start_ms, candle.close)
        return found

    def _note_jump(self, jump: Jump | None) -> bool:
        """Whether it is new: each of an instrument's rows finds it."""
        if jump is None:
            return False
        known = self._jumps.get(jump.symbol)
        if known is not None and jump.day <= known.day:
            return False
        self._jumps[jump.symbol] = replace(jump, after=known.day) if known is not None else jump
        return True

    def _ask_strategies(
        self, applied: Applied, candles: Sequence[Candle], positions: Sequence[int], updated: Updated
    ) -> None:
        """Candle by candle, as a signal is new only if none before it was the same."""
        warm = [(strategy, updated.has(*strategy.required).tolist()) for strategy in self._strategies]
        every = zip(positions, updated.outcome.tolist(), updated.every_now(), updated.every_before(), strict=True)
        for row, (at, outcome, now, before) in enumerate(every):
            if outcome == SKIPPED:
                applied.skipped += 1
                continue
            candle = candles[at]
            pair = candle.symbol, candle.timeframe
            applied.latest[pair] = LatestValues(*pair, candle.start_ms, now)
            if self._limit.allows(candle):
                for strategy, is_warm in warm:
                    if is_warm[row]:
                        self._ask(applied, strategy, at, candle, now, before)

    def _ask(
        self,
        applied: Applied,
        strategy: Strategy,
        at: int,
        candle: Candle,
        now: IndicatorValues,
        before: IndicatorValues,
    ) -> None:
        try:
            proposal = strategy.evaluate(candle, now, before)
            signal = None if proposal is None else _signal(strategy.name, candle, now, proposal)
        except Exception as error:
            applied.errors.append(f"strategy {strategy.name} failed on {candle.id}: {error!r}")
            return
        if signal is not None and self._is_new(signal):
            applied.fired.append(Fired(at, signal))

    def _is_new(self, signal: Signal) -> bool:
        pair, start = (signal.symbol, signal.timeframe), f"|{signal.start_ms:015d}|"
        published = [signal_id for signal_id in self._published.get(pair, []) if start in signal_id]
        if signal.id in published:
            return False
        self._published[pair] = [*published, signal.id]
        return True


def _by_timeframe(candles: Sequence[Candle]) -> dict[str, list[int]]:
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for at, candle in enumerate(candles):
        positions[candle.timeframe].append(at)
    return positions


def _signal(strategy: str, candle: Candle, now: IndicatorValues, proposal: Proposal) -> Signal:
    return Signal(
        strategy=strategy,
        symbol=candle.symbol,
        timeframe=candle.timeframe,
        start_ms=candle.start_ms,
        at_ms=candle.end_ms,
        direction=proposal.direction,
        entry=float(proposal.entry),  # numpy's floats are floats, and JSON does not know them
        stop=float(proposal.stop),
        target=float(proposal.target),
        conditions=proposal.conditions,
        values=now.as_dict(),
        candle_complete=candle.complete,
        candle_rev=candle.rev,
    )
