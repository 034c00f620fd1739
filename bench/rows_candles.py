"""Rows 1 and 2: from frame bytes to live candles, and the candle kernel alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.candle_loop import as_trades
from bench.measure import Log, Sample, Side, interleaved
from bench.ours import BareKernel, empty_engine, new_engine, process_all
from bench.peers import Peers
from bench.results import Row
from bench.synthetic import OPEN_MS, frame_entries, instruments, seconds_of_ticks

START_S = OPEN_MS // 1000 + 600
KITE = "kiteconnect + dict"


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement."""

    instruments: int
    seconds: int
    repetitions: int
    peer_ticks: int = 0  # row 1: the tutorial is slow, and gets only so many of the same ticks


def frame_rows(size: Size, peers: Peers, log: Log) -> list[Row]:
    """Row 1, for 50 packets a frame and for 1; and what a tick costs by the number of instruments."""
    rows = []
    for per_frame, target in ((50, 100.0), (1, 15.0)):
        log(f"1. frames to live candles, {per_frame} packets a frame")
        sides: dict[str, Side] = {"ours": _engine_side(size, per_frame)}
        if (module := peers.get(KITE)) is not None:
            sides[KITE] = _tutorial_side(size, per_frame, module)
        samples = interleaved(sides, size.repetitions)
        rows.append(
            Row(
                "1",
                f"frame bytes to live candles, 4 timeframes, {size.instruments} instruments, {per_frame} a frame",
                "ticks/s",
                samples.pop("ours"),
                samples,
                {KITE: target},
            )
        )
    return rows


def _second_entries(count: int, seconds: int, per_frame: int) -> tuple[list[Any], list[Any]]:
    """The baseline's entries, and those of the ticks after it."""
    each = [
        frame_entries(ticks, per_frame, (START_S - 1 + index) * 1000 + 400)
        for index, ticks in enumerate(seconds_of_ticks(count, seconds + 1, START_S - 1))
    ]
    return each[0], [entry for entries in each[1:] for entry in entries]


def _engine_side(size: Size, per_frame: int, timeframes: str = "1m,5m,15m,1h") -> Side:
    baseline, entries = _second_entries(size.instruments, size.seconds, per_frame)
    fresh = new_engine(size.instruments, timeframes)
    process_all(fresh, baseline)
    state = fresh.snapshot()

    def side() -> float:
        engine = empty_engine(timeframes)
        engine.restore(state)
        began = time.perf_counter()
        process_all(engine, entries)
        return size.instruments * size.seconds / (time.perf_counter() - began)

    return side


def _tutorial_side(size: Size, per_frame: int, module: Any) -> Side:
    baseline, entries = _second_entries(size.instruments, size.seconds, per_frame)
    frames = [entry.payload for entry in entries][: max(1, size.peer_ticks // per_frame)]
    ticks = min(size.instruments * size.seconds, len(frames) * per_frame)
    symbols = {instrument.token: instrument.symbol for instrument in instruments(size.instruments)}

    def side() -> float:
        aggregator = module.TutorialAggregator(symbols)
        for entry in baseline:
            aggregator.receive(entry.payload)
        began = time.perf_counter()
        for frame in frames:
            aggregator.receive(frame)
        return ticks / (time.perf_counter() - began)

    return side


def kernel_rows(size: Size, peers: Peers, log: Log) -> list[Row]:
    """Row 2: decoded trades into four timeframes; the peers are measured once, beside both batch sizes of ours."""
    log(f"2. candle kernel alone, {size.instruments} instruments, {size.seconds} s of ticks a repetition")
    sides: dict[str, Side] = {f"ours {n}": _kernel_side(size, n) for n in (1_000, 100)}
    makers = {
        "nautilus_trader": _nautilus_side,
        "vnpy": _vnpy_side,
        "cryptofeed": _cryptofeed_side,
        "polars (batch)": _polars_side,
    }
    for name, make in makers.items():
        if (module := peers.get(name)) is not None:
            sides[name] = make(size, module)
    samples = interleaved(sides, size.repetitions)
    ours = {n: samples.pop(f"ours {n}") for n in (1_000, 100)}
    return [_kernel_row(size, n, ours[n], samples, target) for n, target in ((1_000, 50.0), (100, 25.0))]


def _kernel_row(size: Size, batch: int, ours: Sample, peers: dict[str, Sample], target: float) -> Row:
    return Row(
        "2",
        f"candle kernel alone, 4 timeframes, {size.instruments} instruments, batches of {batch}",
        "ticks/s",
        ours,
        peers,
        {"nautilus_trader": target},
        note="polars groups all ticks at once and keeps nothing live; vnpy moves 5m, 15m and 1h once a minute only",
    )


class Stretches:
    """The same ticks for every side: each repetition some seconds around the end of the next minute.

    Every repetition is later in time, includes the closing and opening of 1m candles (more of it than a full minute
    would), and finds the candles of all instruments open.
    """

    def __init__(self, size: Size) -> None:
        self._length = size.seconds
        self._ticks = seconds_of_ticks(size.instruments, 1 + size.seconds * (size.repetitions + 1), 0)
        self.first_s = START_S + 60 - size.seconds // 2
        self.baseline = self._stamped(self.first_s - 1)

    def _stamped(self, second: int) -> NDArray[np.void]:
        ticks = next(self._ticks)
        ticks["trade_s"] = second
        return ticks

    def next(self) -> list[NDArray[np.void]]:
        """The ticks around the next minute's end, second by second."""
        found = [self._stamped(self.first_s + index) for index in range(self._length)]
        self.first_s += 60
        return found


def _kernel_side(size: Size, batch: int) -> Side:
    """One state for all repetitions."""
    stretches = Stretches(size)
    kernel = BareKernel(size.instruments, stretches.baseline)

    def side() -> float:
        trades = as_trades(np.concatenate(stretches.next()))
        kernel.forget_closed()
        began = time.perf_counter()
        kernel.process(trades, batch)
        return len(trades) / (time.perf_counter() - began)

    return side


def _nautilus_side(size: Size, module: Any) -> Side:
    """One set of aggregators for all repetitions."""
    named, stretches = instruments(size.instruments), Stretches(size)
    bars = module.NautilusBars(named, stretches.first_s - 1)

    def side() -> float:
        first_s = stretches.first_s
        made = [module.trade_ticks(named, ticks) for ticks in stretches.next()]
        bars.bars.clear()
        bars.process(first_s - 1, [])
        began = time.perf_counter()
        for index, candle in enumerate(made):
            bars.process(first_s + index, candle)
        return sum(map(len, made)) / (time.perf_counter() - began)

    return side


def _vnpy_side(size: Size, module: Any) -> Side:
    """One set of generators for all repetitions."""
    named, stretches = instruments(size.instruments), Stretches(size)
    bars = module.VnpyBars(named)
    bars.process(module.tick_data(named, stretches.baseline))

    def side() -> float:
        made = [module.tick_data(named, ticks) for ticks in stretches.next()]
        bars.bars.clear()
        began = time.perf_counter()
        for ticks in made:
            bars.process(ticks)
        return sum(map(len, made)) / (time.perf_counter() - began)

    return side


def _cryptofeed_side(size: Size, module: Any) -> Side:
    """One set of windows for all repetitions."""
    named, stretches = instruments(size.instruments), Stretches(size)
    candles = module.CryptofeedCandles()

    def side() -> float:
        made = [trade for ticks in stretches.next() for trade in module.trades_of(named, ticks)]
        began = time.perf_counter()
        candles.process(made)
        return len(made) / (time.perf_counter() - began)

    return side


def _polars_side(size: Size, module: Any) -> Side:
    stretches = Stretches(size)

    def side() -> float:
        frame = module.frame_of(np.concatenate(stretches.next()))
        began = time.perf_counter()
        module.group(frame, OPEN_MS)
        return len(frame) / (time.perf_counter() - began)

    return side


def cost_rows(counts: tuple[int, ...], ticks: int, repetitions: int, log: Log) -> list[Row]:
    """Row 6: what a tick costs in the engine by the number of instruments, beside the smallest number's cost."""
    log(f"6. cost of a tick in the engine, {counts[0]} to {counts[-1]} instruments")
    sides = {
        str(n): _engine_side(Size(n, max(2, ticks // n), repetitions), 50, "1m,3m,5m,15m,30m,1h,1d") for n in counts
    }
    rates = interleaved(sides, repetitions)
    costs = {n: Sample(tuple(1e9 / rate for rate in rates[str(n)].values)) for n in counts}
    first = costs[counts[0]]
    return [
        Row(
            "6",
            f"engine, {n} instruments, 7 timeframes, 50 a frame",
            "ns/tick",
            costs[n],
            {f"{counts[0]} instruments": first} if n != counts[0] else {},
            higher_is_better=False,
            note="" if n != counts[0] else "the few seconds' ticks include the opening of every candle",
        )
        for n in counts
    ]
