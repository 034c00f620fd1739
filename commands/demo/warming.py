"""Beside the market: the past is written, then the signal worker starts and warms up from it."""

from __future__ import annotations

from collections.abc import Callable

from commands.demo.history import MOST_WITH_HISTORY, HistoryWriting
from commands.demo.pipeline import DemoPipeline
from commands.shared.picture import Step
from commands.shared.picture_view import clock_text


class Warming:
    """Call `advance` again and again. Candles that close before `is_warm` are past to the signal worker."""

    def __init__(self, history: HistoryWriting, pipeline: DemoPipeline, print_line: Callable[[str], None]) -> None:
        self.since_ms: int | None = None
        self._history = history
        self._pipeline = pipeline
        self._print_line = print_line
        self._is_started = False

    @property
    def is_warm(self) -> bool:
        return self.since_ms is not None

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is under way; empty when all is done."""
        if self.is_warm:
            return ()
        if self._is_started:
            return (Step("signal worker", 0, 0, "reads the history: its indicators warm up"),)
        return (self._history.step,)

    def advance(self, market_ms: int) -> None:
        """The next stage when one is over. StoreError, StartError, RedisError."""
        if self.is_warm:
            return
        if self._is_started:
            if self._pipeline.signals_are_warm():
                self.since_ms = market_ms
                self._print_line(f"  signals  from {clock_text(market_ms)} on: the indicators are warm")
        elif self._history.is_over:
            self._print_written()
            self._pipeline.start_signals()
            self._is_started = True

    def _print_written(self) -> None:
        written = self._history.result()
        self._print_line(f"  history  {written:,} candles written in {self._history.seconds:.1f} s")
        if self._history.is_partial:
            self._print_line(f"  history  of the first {MOST_WITH_HISTORY} instruments: the others begin cold")
