"""Every name that another program may rely on in Redis and MongoDB, built in one place.

`prefix` sets a whole run apart (a demo or a replay never touches live data).
"""

from __future__ import annotations

from dataclasses import dataclass

LAYOUT_VERSION = 1

CANDLES_COLLECTION = "candles"
SIGNALS_COLLECTION = "signals"
INSTRUMENTS_COLLECTION = "instruments"
COVERAGE_COLLECTION = "coverage"
OUTAGES_COLLECTION = "outages"


@dataclass(frozen=True, slots=True)
class Keys:
    """Builds Redis key and channel names under one prefix (empty for live data)."""

    prefix: str = ""

    def ticks(self, shard: int) -> str:
        """Stream of raw frames and marks, in the order received."""
        return f"{self.prefix}ticks:{shard}"

    def broker(self, shard: int) -> str:
        """Stream of what the broker publishes about the account: order updates. Not for the user `reader`."""
        return f"{self.prefix}broker:{shard}"

    def ticks_subscribed(self, shard: int) -> str:
        """Hash of the newest `subscribed` mark of a stream and its id: the stream may have dropped it."""
        return f"{self.prefix}ticks-subscribed:{shard}"

    def closed(self, shard: int) -> str:
        """Stream of closed candles and their revisions, in order."""
        return f"{self.prefix}closed:{shard}"

    def tick(self, symbol: str) -> str:
        """Hash of an instrument's latest tick."""
        return f"{self.prefix}tick:{symbol}"

    def candle(self, symbol: str, timeframe: str) -> str:
        """Hash of an instrument's live candle."""
        return f"{self.prefix}candle:{symbol}:{timeframe}"

    def closed_channel(self, symbol: str, timeframe: str) -> str:
        """Pub/sub channel on which a closed candle is said."""
        return f"{self.prefix}candles.closed.{timeframe}.{symbol}"

    def indicators(self, symbol: str, timeframe: str) -> str:
        """Hash of an instrument's latest indicator values."""
        return f"{self.prefix}indicators:{symbol}:{timeframe}"

    def signals(self) -> str:
        """Stream of signals, all shards."""
        return f"{self.prefix}signals"

    def signals_channel(self, symbol: str, timeframe: str) -> str:
        """Pub/sub channel of an instrument's signals; `signals.*` takes all of them."""
        return f"{self.prefix}signals.{timeframe}.{symbol}"

    def instruments(self) -> str:
        """Hash of symbol to the instrument as JSON."""
        return f"{self.prefix}instruments"

    def rejected(self) -> str:
        """Bounded stream of packets that failed a check, with the reason."""
        return f"{self.prefix}ticks.rejected"

    def archive_rejected(self) -> str:
        """Bounded stream of entries that MongoDB refuses for themselves, with the reason."""
        return f"{self.prefix}archive.rejected"

    def candle_state(self, shard: int) -> str:
        """Snapshot of a candle worker's whole state and the entry id it is true for."""
        return f"{self.prefix}state:{shard}"

    def candle_state_counts(self) -> str:
        """Hash of shard to `<entry id> <how many entries the stream had up to it>`, stored with each snapshot."""
        return f"{self.prefix}state-counts"

    def signal_state(self, shard: int) -> str:
        """Snapshot of a signal worker's whole state and the entry id it is true for."""
        return f"{self.prefix}signal-state:{shard}"

    def said(self) -> str:
        """Hash of `stream|shard` to the last source id said there: what makes saying twice harmless."""
        return f"{self.prefix}said"

    def written(self, role: str, shard: int) -> str:
        """The entry id that a role's hashes of a shard were last written for: older ones are refused."""
        return f"{self.prefix}written:{role}:{shard}"

    def lease(self, role: str, shard: int) -> str:
        """Lock that lets one worker of a role hold a shard."""
        return f"{self.prefix}lease:{role}:{shard}"

    def last_owner(self, role: str, shard: int) -> str:
        """Who held the lease last: whoever gets it back need not start anew if it was the same."""
        return f"{self.lease(role, shard)}:last"

    def workers(self, role: str) -> str:
        """Sorted set of the workers of a role that are there, by the time until which they are."""
        return f"{self.prefix}workers:{role}"

    def health_part(self, process: str, owner: str) -> str:
        """Hash with a TTL: what one of several workers of a role adds to the report of all."""
        return f"{self.prefix}health-part:{process}:{owner}"

    def health(self, process: str) -> str:
        """Hash with a TTL: what a process last did, and its lag."""
        return f"{self.prefix}health:{process}"

    def health_processes(self) -> str:
        """Set of the names of all processes that ever reported their health."""
        return f"{self.prefix}health-processes"


def candle_id(symbol: str, timeframe: str, start_ms: int) -> str:
    """`NSE:INFY|5m|001767225600000`: MongoDB's `_id`, which sorts by time within a symbol and timeframe."""
    return f"{symbol}|{timeframe}|{start_ms:015d}"
