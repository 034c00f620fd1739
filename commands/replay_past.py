"""What a replay needs to know beforehand: who was subscribed, and the candles that were over by then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from commands.journal_feed import JournalFile
from utils.feed import Kind, Mark, mark_instruments, read_mark
from utils.indicators.parameters import DEFAULT_PARAMETERS
from utils.instruments import Instrument
from utils.journal import read_journal
from utils.keys import CANDLES_COLLECTION
from utils.stores.mongo import MongoStore

# The signal worker looks at some more than settles its indicators.
_BARS_COPIED = DEFAULT_PARAMETERS.bars_to_settle + 50


def instruments_of(files: Sequence[JournalFile]) -> list[Instrument]:
    """The instruments that the first `subscribed` mark of each shard names. OSError, JournalError."""
    return [instrument for one in files for instrument in _first_subscribed(one)]


def _first_subscribed(file: JournalFile) -> list[Instrument]:
    for entry in read_journal(file.path):
        if entry.kind is Kind.MARK:
            content = read_mark(entry.payload)
            if content["mark"] == Mark.SUBSCRIBED:
                return mark_instruments(content)
    return []


def copy_past(
    live: MongoStore,
    own: MongoStore,
    symbols: Sequence[str],
    timeframes: Sequence[str],
    before_ms: int,
    check: Callable[[], None],
) -> int:
    """Copies the last candles that ended by an instant; returns how many. StoreError.

    `check` is called between instruments and may raise to end it.
    """
    copied = 0
    if not live.count(CANDLES_COLLECTION):
        return 0
    for symbol in symbols:
        check()
        candles = [one for name in timeframes for one in live.candles_before(symbol, name, before_ms, _BARS_COPIED)]
        past = [one.as_document() for one in candles if one.end_ms <= before_ms]
        own.upsert_candles(past)
        copied += len(past)
    return copied
