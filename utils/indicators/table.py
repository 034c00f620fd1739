"""The indicators of all instruments in one timeframe: the state arrays, and what goes in and out of the kernel."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.indicators import kernels
from utils.indicators.parameters import DEFAULT_PARAMETERS, IndicatorParameters
from utils.indicators.values import ABSENT, INDICATOR_NAMES, IndicatorValues
from utils.market.candle import Candle
from utils.market.ist import EPOCH_ORDINAL, ist_day

FIRST_ROWS = 64
ARRAYS = kernels.Tables._fields


class Outcome(IntEnum):
    """A candle against its row: older than the last (or a repetition), the next one, or a revision of the last."""

    SKIPPED = kernels.SKIPPED
    APPLIED = kernels.APPLIED
    REVISED = kernels.REVISED


@dataclass(frozen=True, slots=True)
class Updated:
    """Of each candle of one call: the outcome (n,), the values after it and after the one before it (n, names)."""

    outcome: NDArray[np.int64]
    now: NDArray[np.float64]
    before: NDArray[np.float64]

    def values(self, at: int) -> IndicatorValues:
        return IndicatorValues(*self.now[at].tolist())

    @classmethod
    def joined(cls, parts: Sequence[Updated]) -> Updated:
        """Of the candles of all parts, one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def every_now(self) -> Iterator[IndicatorValues]:
        """`now`, candle by candle."""
        return _each(self.now)

    def every_before(self) -> Iterator[IndicatorValues]:
        """`before`, candle by candle."""
        return _each(self.before)

    def has(self, *names: str) -> NDArray[np.bool_]:
        """Whether all of these are there, after the candle and after the one before it (n,)."""
        columns = [INDICATOR_NAMES.index(name) for name in names]
        absent = np.isnan(self.now[:, columns]) | np.isnan(self.before[:, columns])
        there: NDArray[np.bool_] = np.logical_not(absent.any(axis=1))
        return there


class IndicatorTable:
    """One row an instrument, in the order in which they first came."""

    def __init__(self, parameters: IndicatorParameters = DEFAULT_PARAMETERS, settle: bool = True) -> None:
        """With `settle` a value is absent until it is settled, otherwise only until its definition gives one."""
        self._parameters = parameters.for_kernel()
        bars = parameters.settled_after() if settle else (1,) * len(INDICATOR_NAMES)
        self._settled_after = np.array(bars, dtype=np.int64)
        self._rows: dict[str, int] = {}
        self._arrays = self._empty(FIRST_ROWS)

    @property
    def symbols(self) -> list[str]:
        return list(self._rows)

    def update(self, candles: Sequence[Candle]) -> Updated:
        """Applies candles of this timeframe, in order. Those that are already known are skipped, and marked so."""
        results = kernels.Results(
            np.zeros(len(candles), dtype=np.int64),
            np.empty((len(candles), len(INDICATOR_NAMES))),
            np.empty((len(candles), len(INDICATOR_NAMES))),
        )
        batch = _batch([self._row(candle.symbol) for candle in candles], candles)
        kernels.update(kernels.Tables(**self._arrays), batch, results, self._parameters, self._settled_after)
        return Updated(*results)

    def reset(self, symbol: str) -> None:
        """Forget what came of an instrument."""
        row = self._rows.get(symbol)
        if row is not None:
            for name, fresh in self._empty(1).items():
                self._arrays[name][row] = fresh[0]

    def drop(self, symbols: Collection[str]) -> None:
        """Instruments that come no more: their rows are free for others, and the arrays stay as large as they are."""
        used, kept = len(self._rows), [symbol for symbol in self._rows if symbol not in symbols]
        if len(kept) == used:
            return
        rows = [self._rows[symbol] for symbol in kept]
        for name, empty in self._empty(1).items():
            array = self._arrays[name]
            array[: len(kept)] = array[rows]
            array[len(kept) : used] = empty
        self._rows = {symbol: row for row, symbol in enumerate(kept)}

    def ends(self, symbols: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of each the start (epoch ms) and the close of its last candle; 0 for one that never came."""
        rows = np.array([self._rows.get(symbol, -1) for symbol in symbols], dtype=np.int64)
        last = self._arrays["now"][rows]
        return np.where(rows >= 0, last["start_ms"], 0), last["close"]

    def values(self, symbol: str) -> IndicatorValues:
        """The latest of an instrument; all absent for one that never came."""
        row = self._rows.get(symbol)
        return ABSENT if row is None else IndicatorValues(*self._arrays["values"][row].tolist())

    def bars(self, symbol: str) -> int:
        """How many candles of it were taken."""
        row = self._rows.get(symbol)
        return 0 if row is None else int(self._arrays["now"][row]["count"])

    def newest(self) -> list[tuple[str, int, IndicatorValues]]:
        """Of each instrument: its symbol, the start of its last candle (epoch ms) and the values after it."""
        starts, values = self._arrays["now"]["start_ms"], _each(self._arrays["values"][: len(self._rows)])
        return list(zip(self._rows, starts.tolist(), values, strict=False))

    def warm_rows(self) -> int:
        """Instruments with every indicator settled."""
        counts = self._arrays["now"]["count"][: len(self._rows)]
        return int(np.count_nonzero(counts >= int(self._settled_after.max())))

    def state(self) -> list[NDArray[Any]]:
        """The arrays in the order of ARRAYS, as far as rows are used."""
        return [self._arrays[name][: len(self._rows)] for name in ARRAYS]

    def restore(self, symbols: Sequence[str], arrays: Sequence[NDArray[Any]]) -> None:
        """Take over what `symbols` and `state()` gave. ValueError when it does not fit this version."""
        fresh = self._empty(max(FIRST_ROWS, len(symbols)))
        for name, array in zip(ARRAYS, arrays, strict=True):
            room = fresh[name]
            if array.dtype != room.dtype or array.shape != (len(symbols), *room.shape[1:]):
                raise ValueError(f"the snapshot's {name} has another shape: it is of another version")
            room[: len(symbols)] = array
        self._arrays = fresh
        self._rows = {symbol: row for row, symbol in enumerate(symbols)}

    def _row(self, symbol: str) -> int:
        row = self._rows.get(symbol)
        if row is not None:
            return row
        if len(self._rows) == len(self._arrays["now"]):
            larger = self._empty(2 * len(self._rows))
            for name, array in self._arrays.items():
                larger[name][: len(array)] = array
            self._arrays = larger
        return self._rows.setdefault(symbol, len(self._rows))

    def _empty(self, rows: int) -> dict[str, NDArray[Any]]:
        return {
            "now": np.zeros(rows, dtype=kernels.STATE_DTYPE),
            "before": np.zeros(rows, dtype=kernels.STATE_DTYPE),
            "rings": np.zeros((rows, self._parameters.sma_long)),
            "values": np.full((rows, len(INDICATOR_NAMES)), np.nan),
            "values_before": np.full((rows, len(INDICATOR_NAMES)), np.nan),
        }


def _each(values: NDArray[np.float64]) -> Iterator[IndicatorValues]:
    """One row at a time: thousands of lists at once would set off the garbage collector."""
    flat = iter(values.ravel().tolist())
    return map(IndicatorValues._make, zip(*[flat] * len(INDICATOR_NAMES), strict=True))


def _batch(rows: list[int], candles: Sequence[Candle]) -> kernels.Batch:
    start_ms = np.array([candle.start_ms for candle in candles], dtype=np.int64)
    return kernels.Batch(
        rows=np.array(rows, dtype=np.int64),
        start_ms=start_ms,
        rev=np.array([candle.rev for candle in candles], dtype=np.int64),
        high=np.array([candle.high for candle in candles], dtype=np.float64),
        low=np.array([candle.low for candle in candles], dtype=np.float64),
        close=np.array([candle.close for candle in candles], dtype=np.float64),
        volume=np.array([np.nan if candle.volume is None else candle.volume for candle in candles], dtype=np.float64),
        session_day=ist_day(start_ms) + EPOCH_ORDINAL,
    )
