"""The doctor on trading hours: those nobody knows, those that are not certain, and those that seem wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from commands.doctor.findings import CANDLE_WORKER, CONNECTOR, Finding, Report
from utils.candles.class_doubts import PROBLEMS, doubts_of, sentences
from utils.market.class_facts import from_text
from utils.market.hours_kept import Kept, hours_kept, without_hours
from utils.market.sessions import SessionCalendar

END_DAYS = 21  # reported this many days before the calendar ends
UNCERTAIN_DAYS = 3  # and so long before a day whose hours are not certain
NAMED_AT_MOST = 5


def hours_findings(
    report: Report, symbols: Sequence[str], calendar: SessionCalendar, today: date, file: Path
) -> Iterator[Finding]:
    """Of INSTRUMENTS, the calendar in the days to come, and the candle worker's report. `file` is to be edited."""
    yield from _without_hours(symbols)
    yield from _end_of_calendar(calendar, today, file)
    yield from _uncertain_days(hours_kept(symbols, {}, calendar), calendar, today, file)
    yield from _doubts(report, file)


def _without_hours(symbols: Sequence[str]) -> Iterator[Finding]:
    unknown = without_hours(symbols)
    if unknown:
        more = f" and {len(unknown) - NAMED_AT_MOST} more" if len(unknown) > NAMED_AT_MOST else ""
        yield Finding(
            CONNECTOR,
            f"no trading hours are known for {', '.join(unknown[:NAMED_AT_MOST])}{more}, so they are not watched: "
            "take them out of INSTRUMENTS.",
        )


def _end_of_calendar(calendar: SessionCalendar, today: date, file: Path) -> Iterator[Finding]:
    last = calendar.last_known_day
    remedy = f"write the holidays after it into {file}, or take a newer version."
    if today > last:
        sentence = f"the calendar of trading days ended on {last}, ordinary hours are assumed: {remedy}"
        yield Finding(CANDLE_WORKER, sentence)
    elif today >= last - timedelta(days=END_DAYS):
        yield Finding(CANDLE_WORKER, f"the calendar of trading days ends on {last}: {remedy}", is_problem=False)


def _uncertain_days(kept: Sequence[Kept], calendar: SessionCalendar, today: date, file: Path) -> Iterator[Finding]:
    """The first such day of each class; one sentence for all classes of a day."""
    days: dict[date, dict[str, None]] = {}
    for instrument in kept:
        for day in (today + timedelta(days=distance) for distance in range(UNCERTAIN_DAYS + 1)):
            ruling = calendar.ruling(instrument.session_class, instrument.places, day)
            if ruling.hours is not None and not ruling.certain:
                days.setdefault(day, {})[str(instrument)] = None
                break
    for day, names in sorted(days.items()):
        yield Finding(
            CANDLE_WORKER,
            f"the hours of {day} are not certain for {', '.join(names)} ('manage.py sessions {day}' shows them): "
            f"compare the exchange's circular, and write the right ones into {file}.",
            is_problem=False,
        )


def _doubts(report: Report, file: Path) -> Iterator[Finding]:
    for doubt, sentence in sentences(doubts_of(from_text(report.get("classes", ""))), file):
        yield Finding(CANDLE_WORKER, f"{sentence}.", is_problem=doubt in PROBLEMS)
