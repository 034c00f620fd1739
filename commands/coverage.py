"""`manage.py coverage`: a day's instruments and outages, from its journal, and what is held of it, into MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import click

from commands.shared.console import load_calendar, load_settings
from commands.shared.journal_feed import JournalFile, recorded_files
from utils.coverage.held_candles import Coverage, coverage_of
from utils.coverage.outages import Outage, outages_of_day
from utils.journal.entries import Entry, Kind, Mark, mark_instruments, read_mark
from utils.journal.writer import JournalError, read_journal
from utils.market.instruments import Instrument
from utils.market.ist import DAY_MS, ist_date, ist_midnight_ms
from utils.runtime.settings import Settings
from utils.stores.mongo import MongoStore, RefusedDocument, StoreError

SETTLE_MS = 30_000  # market time: a candle that ended so lately may not be in MongoDB yet


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """What a day's journal holds besides ticks."""

    day: date
    outages: list[Outage]
    instruments: list[Instrument]


@click.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), required=False)
def command(day: datetime | None) -> None:
    """Write into MongoDB what is held of a day, which instruments were watched, and when the feed was down.

    DAY (YYYY-MM-DD) is today if none is given. The journal is read from JOURNAL_DIR. May be run as often as you like:
    the same is written again, under the same names.
    """
    settings = load_settings()
    now_ms = settings.market_clock.now_ms()
    wanted = day.date() if day else ist_date(now_ms)
    files = recorded_files(settings.journal_dir, wanted)
    store = MongoStore(settings.mongo_url.get_secret_value(), settings.mongo_db)
    try:
        recorded = read_day(files, wanted, now_ms)
        held = write_day(store, recorded, settings, now_ms)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    except (OSError, JournalError) as error:
        raise click.ClickException(f"JOURNAL_DIR: the journal of {wanted} cannot be read ({error}).") from None
    finally:
        store.close()
    click.echo(summary(recorded, held, now_ms))


def read_day(files: Iterable[JournalFile], day: date, now_ms: int) -> RecordedDay:
    """OSError, JournalError."""
    end_ms = ist_midnight_ms(day) + DAY_MS
    named: dict[str, Instrument] = {}
    outages: list[Outage] = []
    for file in files:
        entries = _noting_instruments(read_journal(file.path), named)
        outages += outages_of_day(file.shard, entries, end_ms, is_over=end_ms <= now_ms)
    return RecordedDay(day, outages, list(named.values()))


def _noting_instruments(entries: Iterable[Entry], named: dict[str, Instrument]) -> Iterator[Entry]:
    """The same entries; whom their `subscribed` marks name goes into `named` on the way."""
    for entry in entries:
        if entry.kind is Kind.MARK:
            named.update({instrument.symbol: instrument for instrument in _named_by(entry)})
        yield entry


def _named_by(entry: Entry) -> list[Instrument]:
    try:
        content = read_mark(entry.payload)
        return mark_instruments(content) if content["mark"] == Mark.SUBSCRIBED else []
    except ValueError:
        return []


def write_day(store: MongoStore, recorded: RecordedDay, settings: Settings, now_ms: int) -> list[Coverage]:
    """All three collections; returns what is held, by instrument and timeframe. StoreError."""
    _check(store.upsert_outages([outage.as_document() for outage in recorded.outages]))
    _check(
        store.upsert_instruments(
            [instrument.as_dict() for instrument in recorded.instruments], recorded.day.isoformat()
        ),
    )
    calendar, found = load_calendar(settings), list[Coverage]()
    for instrument in recorded.instruments:
        session = calendar.for_instrument(instrument, recorded.day)
        if session is None:
            continue
        held = [
            coverage_of(
                instrument.symbol,
                frame,
                session,
                store.candles_between(instrument.symbol, frame.name, session.open_ms, session.day_end_ms),
                now_ms - SETTLE_MS,
            )
            for frame in settings.timeframes
        ]
        _check(store.upsert_coverage([candle.as_document() for candle in held]))
        found += held
    return found


def _check(refused: Sequence[RefusedDocument]) -> None:
    if refused:
        raise StoreError(f"MongoDB refuses {refused[0].document.get('_id')}: {refused[0].reason}")


def summary(recorded: RecordedDay, held: Sequence[Coverage], now_ms: int) -> str:
    """One line for a person."""
    down_ms = sum((outage.ended_ms or now_ms) - outage.began_ms for outage in recorded.outages)
    candles, incomplete, expected = (
        sum(getattr(candle, name) for candle in held) for name in ("candles", "incomplete", "expected")
    )
    return (
        f"{recorded.day}: {len(recorded.instruments)} instruments; "
        f"{len(recorded.outages)} outages, {down_ms / 1000:,.0f} s in all; "
        f"{candles:,} candles in {expected:,} buckets, {incomplete:,} of them incomplete."
    )
