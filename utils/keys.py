"""Every name that another program may rely on in Redis and MongoDB, built in one place.

`prefix` sets a whole run apart (a demo or a replay never touches live data).

The braces of a shard are literal: a hash tag, so that all keys of a shard lie in one slot of a Redis Cluster. What
one script or transaction touches is of one shard, but for the hashes of instruments (utils/stores/guarded_writes.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase

LAYOUT_VERSION = 2  # utils/stores/old_layout.py knows the names of version 1

CANDLES_COLLECTION = "candles"
SIGNALS_COLLECTION = "signals"
INSTRUMENTS_COLLECTION = "instruments"
COVERAGE_COLLECTION = "coverage"
OUTAGES_COLLECTION = "outages"

SIGNALS_FILE_GROUP = "file"  # consumer group of the signals that go into LOG_DIR's file; MongoDB's has its name


def shard_letter(shard: int) -> str:
    """A shard's name in keys. Letters: the slots of the first three fall on three equal parts of a cluster.

    >>> "".join(map(shard_letter, range(3)))
    'abc'
    """
    return ascii_lowercase[shard]


@dataclass(frozen=True, slots=True)
class Keys:
    """Builds Redis key and channel names under one prefix (empty for live data)."""

    prefix: str = ""

    def ticks(self, shard: int) -> str:
        """Stream of raw frames and marks, in the order received."""
        return self._of_shard("ticks", shard)

    def broker(self, shard: int) -> str:
        """Stream of what the broker publishes about the account: order updates. Not for the user `reader`."""
        return self._of_shard("broker", shard)

    def ticks_subscribed(self, shard: int) -> str:
        """Hash of the newest `subscribed` mark of a stream and its id: the stream may have dropped it."""
        return self._of_shard("ticks-subscribed", shard)

    def closed(self, shard: int) -> str:
        """Stream of closed candles and their revisions, in order."""
        return self._of_shard("closed", shard)

    def tick(self, symbol: str) -> str:
        """Hash of an instrument's latest tick."""
        return f"{self.prefix}tick:{symbol}"

    def candle(self, symbol: str, timeframe: str) -> str:
        """Hash of an instrument's live candle."""
        return f"{self.prefix}candle:{symbol}:{timeframe}"

    def closed_channel(self, symbol: str, timeframe: str) -> str:
        """Pub/sub channel on which a closed candle is published."""
        return f"{self.prefix}candles.closed.{timeframe}.{symbol}"

    def indicators(self, symbol: str, timeframe: str) -> str:
        """Hash of an instrument's latest indicator values."""
        return f"{self.prefix}indicators:{symbol}:{timeframe}"

    def signals(self, shard: int) -> str:
        """Stream of signals."""
        return self._of_shard("signals", shard)

    def signals_channel(self, symbol: str, timeframe: str) -> str:
        """Pub/sub channel of an instrument's signals; `signals.*` takes all of them."""
        return f"{self.prefix}signals.{timeframe}.{symbol}"

    def instruments(self) -> str:
        """Hash of symbol to the instrument as JSON."""
        return f"{self.prefix}instruments"

    def rejected(self, shard: int) -> str:
        """Bounded stream of packets that failed a check, with the reason."""
        return self._of_shard("ticks.rejected", shard)

    def archive_rejected(self, shard: int) -> str:
        """Bounded stream of entries that MongoDB refuses for themselves, with the reason."""
        return self._of_shard("archive.rejected", shard)

    def candle_state(self, shard: int) -> str:
        """Snapshot of a candle worker's full state and the entry id it is true for."""
        return self._of_shard("state", shard)

    def candle_state_counts(self, shard: int) -> str:
        """`<entry id> <how many entries the stream had up to it>`, stored with each snapshot."""
        return self._of_shard("state-counts", shard)

    def signal_state(self, shard: int) -> str:
        """Snapshot of a signal worker's full state and the entry id it is true for."""
        return self._of_shard("signal-state", shard)

    def published(self, shard: int) -> str:
        """Hash of a stream to the id last published there: what makes publishing twice harmless."""
        return self._of_shard("published", shard)

    def written(self, role: str, shard: int) -> str:
        """The entry id that a role's hashes of a shard were last written for: older ones are refused."""
        return self._of_shard(f"written:{role}", shard)

    def lease(self, role: str, shard: int) -> str:
        """Lock that lets one worker of a role own a shard."""
        return self._of_shard(f"lease:{role}", shard)

    def last_owner(self, role: str, shard: int) -> str:
        """Who owned the shard last: whoever gets it back need not start anew if it was the same."""
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

    def _of_shard(self, name: str, shard: int) -> str:
        """`closed:{a}`."""
        return f"{self.prefix}{name}:{{{shard_letter(shard)}}}"


def candle_id(symbol: str, timeframe: str, start_ms: int) -> str:
    """`NSE:INFY|5m|001767225600000`: MongoDB's `_id`, which sorts by time within a symbol and timeframe."""
    return f"{symbol}|{timeframe}|{start_ms:015d}"
