"""The measurements as data: a `Row` is a line of the table, a `Report` a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.measure import Sample


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours beside its peers. `targets`: peer name to the ratio it must reach; '' is an absolute bound.

    A ratio is ours / theirs for rates (`higher_is_better`), theirs / ours for times. `figures` are what
    was measured beside it, by name and unit, for the JSON.
    """

    part: str
    name: str
    unit: str
    ours: Sample
    peers: dict[str, Sample] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    higher_is_better: bool = True
    note: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def ratio(self, peer: str) -> float:
        """By how much ours is better."""
        theirs = self.peers[peer].median
        if self.higher_is_better:
            return self.ours.median / theirs if theirs else 0.0
        return theirs / self.ours.median if self.ours.median else 0.0

    def is_reached(self) -> bool | None:
        """Whether every target is reached; None when there is none that could be judged."""
        verdicts = [self._reaches(peer, target) for peer, target in self.targets.items() if self._is_judged(peer)]
        return all(verdicts) if verdicts else None

    def _is_judged(self, peer: str) -> bool:
        return not peer or peer in self.peers

    def _reaches(self, peer: str, target: float) -> bool:
        if peer:
            return self.ratio(peer) >= target
        return self.ours.median >= target if self.higher_is_better else self.ours.median <= target

    def as_dict(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "ours": _sample(self.ours),
            "peers": {name: {**_sample(peer), "ratio": self.ratio(name)} for name, peer in self.peers.items()},
            "targets": self.targets,
            "reached": self.is_reached(),
            "note": self.note,
            "figures": self.figures,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """Whether two sides computed the same values."""

    name: str
    passed: bool
    detail: str


@dataclass(slots=True)
class Report:
    """One run."""

    machine: dict[str, Any]
    quick: bool
    started: str
    rows: list[Row] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "started": self.started,
            "quick": self.quick,
            "seconds": round(self.seconds, 1),
            "machine": self.machine,
            "checks": [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in self.checks],
            "absent": self.absent,
            "failures": self.failures,
            "rows": [row.as_dict() for row in self.rows],
        }


def single(value: float) -> Sample:
    """The sample of a single run."""
    return Sample((value,))


def of(values: Sequence[float]) -> Sample:
    return Sample(tuple(values))


def _sample(sample: Sample) -> dict[str, Any]:
    return {"median": sample.median, "spread": sample.spread, "values": list(sample.values)}
