"""Repetitions of several sides, interleaved: a slow moment of the machine affects all of them alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Side = Callable[[], float]  # prepares, does its work, and returns the figure of that one repetition
Log = Callable[[str], None]  # prints a line of progress


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of all repetitions of one side."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> float:
        """(highest - lowest) / median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0


def interleaved(sides: Mapping[str, Side], repetitions: int) -> dict[str, Sample]:
    """Runs all sides once, then all again. The first round is discarded: it warms caches and kernels."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(repetitions + 1):
        for name, side in sides.items():
            gc.collect()
            figure = side()
            if round_number:
                figures[name].append(figure)
    return {name: Sample(tuple(values)) for name, values in figures.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
