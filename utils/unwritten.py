"""What came of closed candles and is not in file and hashes yet: whoever acts on a signal waits for neither."""

from __future__ import annotations

from dataclasses import dataclass, field

from utils.signal_progress import Taken
from utils.signals import LatestValues, Pair, Signal


@dataclass(slots=True)
class Unwritten:
    """`sent` signals may not be said yet, and only what is said belongs into the file."""

    sent: list[Signal] = field(default_factory=list)
    said: list[Signal] = field(default_factory=list)
    latest: dict[Pair, LatestValues] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sent) + len(self.said) + len(self.latest)

    def add(self, taken: Taken) -> None:
        self.sent += [signal for _, signal in taken.fired]
        self.latest.update({(one.symbol, one.timeframe): one for one in taken.latest})

    def note_said(self) -> None:
        """All that was sent."""
        self.said += self.sent
        self.sent = []

    def take_said(self) -> list[Signal]:
        """For the file."""
        said, self.said = self.said, []
        return said

    def take_latest(self) -> list[LatestValues]:
        """For the hashes."""
        latest, self.latest = list(self.latest.values()), {}
        return latest
