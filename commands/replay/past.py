"""What a replay needs to know beforehand: who was subscribed, and the candles that were over by then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from commands.shared.journal_feed import JournalFile
from utils.indicators.parameters import DEFAULT_PARAMETERS
from utils.journal.entries import Kind, Mark, mark_instruments, read_mark
from utils.journal.writer import read_journal
from utils.keys import CANDLES_COLLECTION
from utils.market.instruments import Instrument
from utils.stores.mongo import MongoStore

# The signal worker looks at some more than settles its indicators.
_BARS_COPIED = DEFAULT_PARAMETERS.bars_to_settle + 50
_SYMBOLS_AT_ONCE = 20
_WRITTEN_AT_ONCE = 1_000  # between two looks at whether to stop


def instruments_of(files: Sequence[JournalFile]) -> list[Instrument]:
    """The instruments that the first `subscribed` mark of each shard names. OSError, JournalError."""
    return [instrument for file in files for instrument in _first_subscribed(file)]


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
    on_progress: Callable[[int, int], None],
) -> int:
    """Copies the last candles that ended by an instant; returns how many. StoreError.

    `on_progress` is called now and then with how many are copied, and of how many symbols; it may raise to end this.
    """
    copied = 0
    if not live.count(CANDLES_COLLECTION):
        return 0
    in_order = sorted(symbols)  # as the keys are: one answer has neighbours
    for at in range(0, len(in_order), _SYMBOLS_AT_ONCE):
        asked = [(symbol, name) for symbol in in_order[at : at + _SYMBOLS_AT_ONCE] for name in timeframes]
        found = live.newest_of_each(asked, before_ms, _BARS_COPIED).values()
        past = [candle.as_document() for candles in found for candle in candles if candle.end_ms <= before_ms]
        for start in range(0, len(past), _WRITTEN_AT_ONCE):
            on_progress(copied, at)
            own.upsert_candles(past[start : start + _WRITTEN_AT_ONCE])
            copied += len(past[start : start + _WRITTEN_AT_ONCE])
        on_progress(copied, min(at + _SYMBOLS_AT_ONCE, len(in_order)))
    return copied
