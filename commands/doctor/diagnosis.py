"""What the health reports mean for the data, in plain words. Pure: reports and time go in, findings come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from commands.doctor.connector import connector_findings
from commands.doctor.content import content_findings
from commands.doctor.findings import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER, Finding, Limits, Moment, Report, Reports
from commands.doctor.past import past_findings, warmth_findings
from commands.doctor.workers import worker_findings
from utils.market.hours_kept import hours_kept
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar

SOON_MS = 30 * 60_000

# By process, what else is looked at in its report: each in a module of its own, `commands/doctor/<topic>.py`.
Topic = Callable[[Report, Moment], Iterator[Finding]]
TOPICS: Mapping[str, tuple[Topic, ...]] = {
    CANDLE_WORKER: (content_findings,),
    SIGNAL_WORKER: (warmth_findings, past_findings),
}


def moment_of(symbols: Sequence[str], now_ms: int, speed: float, calendar: SessionCalendar) -> Moment:
    """Whether any of the symbols (`NSE:INFY`) may have continuous trading at `now_ms`.

    On an exchange that nobody knows none has: `diagnosis_hours` names it.
    """
    day, kept = ist_date(now_ms), hours_kept(symbols, {}, calendar)
    hours = [calendar.session(instrument.session_class, day, places=instrument.places) for instrument in kept]
    sessions = [session for session in hours if session is not None]
    return Moment(
        now_ms=now_ms,
        in_session=any(session.open_ms <= now_ms < session.close_ms for session in sessions),
        soon=any(session.open_ms - SOON_MS <= now_ms < session.close_ms for session in sessions),
        speed=speed,
    )


def diagnose(
    reports: Reports, unread_since_ms: Mapping[str, int], processes: Iterable[str], moment: Moment, limits: Limits
) -> list[Finding]:
    """What is wrong, and what is worth knowing, of these processes; empty when all is well.

    `unread_since_ms` has for a worker, by its name, when the oldest entry came that it has not taken yet.
    """
    findings: list[Finding] = []
    for process in processes:
        report = reports.get(process)
        if report is None:
            findings.append(Finding(process, "does not report: it is not running, or does not reach Redis."))
            continue
        if process == CONNECTOR:
            findings += connector_findings(report, moment, limits)
        else:
            findings += worker_findings(process, report, unread_since_ms.get(process), moment, limits)
        for topic in TOPICS.get(process, ()):
            findings += topic(report, moment)
    return findings
