"""What the engine of a shard gives for some entries: closed candles, rejected packets, instruments that left."""

from __future__ import annotations

from dataclasses import dataclass, field

from utils.candles.encoding import ClosedRecords
from utils.journal.entries import EntryId
from utils.market.instruments import Instrument


@dataclass(frozen=True, slots=True)
class RejectedPacket:
    """What failed a check, with the reason; `symbol` is empty for a token that nobody asked for."""

    source: EntryId
    number: int
    reason: str
    token: int
    symbol: str
    packet: bytes


@dataclass(slots=True)
class EngineOutput:
    """What came of some entries, in order; `gone` are the instruments that left its state."""

    records: list[ClosedRecords] = field(default_factory=list)
    rejected: list[RejectedPacket] = field(default_factory=list)
    gone: list[Instrument] = field(default_factory=list)

    @property
    def has_closed(self) -> bool:
        return any(map(len, self.records))
