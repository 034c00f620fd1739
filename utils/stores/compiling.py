"""Compiles the candle kernels into the cache on disk, so that no process does it while the market is open.

Here because the live hashes, which are written by kernels, too, are a store's; those of the indicators are in
`utils/indicators/compiling.py`. `python -m utils.stores.compiling` in an image's build, and
`compile_candle_kernels()` at a worker's start, where it takes a fraction of a second when the cache is there.
"""

from __future__ import annotations

from datetime import date, timedelta

from utils.candles.engine import CandleEngine
from utils.candles.kernels.layout import Rules
from utils.journal.entries import Entry, EntryId, Kind, down_mark, subscribed_mark
from utils.keys import Keys
from utils.kite.frames import pack_frame
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import DAY_MS
from utils.market.sessions import Session
from utils.market.timeframes import parse_timeframes
from utils.runtime.garbage_collection import long_lived_objects
from utils.stores.live_hashes import LiveHashes

_TOKEN = 256_001
_STOCK = Instrument(_TOKEN, "NSE", "NONE", "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
_ANY_DAY_MS = 1_700_000_000_000
_NEVER_MS = 1 << 60


class _AnyHours:
    """A session that covers every instant: only the types matter here."""

    def for_instrument(self, instrument: Instrument, day: date) -> Session | None:
        return Session(day, 0, _NEVER_MS, 0, _NEVER_MS)

    def is_known(self, day: date) -> bool:
        return day > date.min + timedelta(days=1)


@long_lived_objects()
def compile_candle_kernels() -> None:
    """Send a trade through a candle engine and out of it: every kernel is compiled, or read from the cache."""
    engine = CandleEngine(parse_timeframes("1m,1d"), Rules(1, 1, 1, 2.5, 4.0, 1, 1.0, 2), 10, _AnyHours())
    packet = _TOKEN.to_bytes(4, "big") + (100).to_bytes(4, "big")
    output = engine.process(
        [
            Entry(EntryId(_ANY_DAY_MS, 0), Kind.MARK, subscribed_mark("ltp", [_STOCK])),
            Entry(EntryId(_ANY_DAY_MS, 1), Kind.FRAME, pack_frame([packet])),
            Entry(EntryId(_ANY_DAY_MS, 2), Kind.FRAME, pack_frame([packet])),
            Entry(EntryId(_ANY_DAY_MS, 3), Kind.MARK, down_mark("")),
            Entry(EntryId(_ANY_DAY_MS + DAY_MS, 0), Kind.FRAME, b"\0"),
        ]
    )
    assert output.records
    for records in output.records:
        records.as_json()
    LiveHashes(Keys()).pack(engine.rows, *engine.next_live())


if __name__ == "__main__":
    compile_candle_kernels()
