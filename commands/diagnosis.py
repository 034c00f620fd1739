"""What the health reports mean for the data, in plain words. Pure: reports and time go in, findings come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from utils.instruments import SessionClass
from utils.sessions import SessionCalendar, ist_date
from utils.shared_health import SHARDS_FREE

CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER = "connector", "candle_worker", "signal_worker"
PROCESSES = (CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER)
SOON_MS = 30 * 60_000

Report = Mapping[str, str]
Reports = Mapping[str, Report]

# One class a kind of exchange is enough: when it trades, frames must come.
_CLASS_OF_EXCHANGE = {
    "NFO": SessionClass.EQUITY_DERIVATIVE,
    "BFO": SessionClass.EQUITY_DERIVATIVE,
    "CDS": SessionClass.CURRENCY,
    "BCD": SessionClass.CURRENCY,
    "MCX": SessionClass.COMMODITY,
    "NCO": SessionClass.COMMODITY,
}


_LOSSES = (
    (
        "lost_entries",
        "{count:,} frames ({stretch}) were dropped before they were read: raise STREAM_MAX_MB or add a worker.",
    ),
    ("cut_off", "closed candles were dropped before they were read, {count:,} times: raise CLOSED_MAX_ENTRIES."),
    ("file_lost", "{count:,} signals are missing in LOG_DIR's file, which refused them: MongoDB has them."),
    ("history_rejected", "{count:,} rows of the broker's history were left out: history_rejected_* say why."),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one process; a problem makes the exit code 1, a note does not."""

    process: str
    sentence: str
    is_problem: bool = True


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, in market time: whether anything trades (`soon`: within half an hour), and how fast the clock runs."""

    now_ms: int
    in_session: bool
    soon: bool
    speed: float = 1.0

    def real_seconds_since(self, at_ms: int) -> float:
        return (self.now_ms - at_ms) / 1000 / self.speed


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on it is a problem, in real seconds (frames, lag) or entries (archive)."""

    frame_seconds: float = 15.0
    lag_seconds: float = 15.0
    archive_entries: int = 50_000


def moment_of(symbols: Sequence[str], now_ms: int, speed: float, calendar: SessionCalendar) -> Moment:
    """Whether any exchange of the symbols (`NSE:INFY`) has continuous trading at `now_ms`."""
    classes = {_CLASS_OF_EXCHANGE.get(one.partition(":")[0], SessionClass.EQUITY) for one in symbols}
    sessions = [one for one in (calendar.session(each, ist_date(now_ms)) for each in classes) if one is not None]
    return Moment(
        now_ms=now_ms,
        in_session=any(one.open_ms <= now_ms < one.close_ms for one in sessions),
        soon=any(one.open_ms - SOON_MS <= now_ms < one.close_ms for one in sessions),
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
        elif process == CONNECTOR:
            findings += _connector(report, moment, limits)
        else:
            findings += _worker(process, report, unread_since_ms.get(process), moment, limits)
    return findings


def _connector(report: Report, moment: Moment, limits: Limits) -> Iterator[Finding]:
    for shard in range(_number(report, "shards")):
        yield from _connection(report, shard, moment, limits)
        yield from _recording(report, shard, moment, limits)
    forced_out = _number(report, "forced_out")
    if forced_out:
        sentence = f"{forced_out:,} entries left their stream before its time was over: raise STREAM_MAX_MB."
        yield Finding(CONNECTOR, sentence, is_problem=False)
    if not _number(report, "instruments"):
        yield Finding(CONNECTOR, "has no instruments yet: /instruments did not answer so far.", moment.soon)


def _connection(report: Report, shard: int, moment: Moment, limits: Limits) -> Iterator[Finding]:
    """Out of hours a connection that is down is worth a note, no more: nothing is lost."""
    if not _number(report, f"shard{shard}_instruments"):
        return
    state, last_frame_ms = report.get(f"shard{shard}_state", ""), _number(report, f"shard{shard}_last_frame_ms")
    if "token" in state:
        sentence = "waits for a new access token: log in with 'python manage.py login'."
        yield Finding(CONNECTOR, sentence, moment.soon)
    elif state != "up":
        yield Finding(CONNECTOR, f"connection {shard} is not up but '{state}': see its log.", moment.in_session)
    elif not last_frame_ms:
        yield Finding(CONNECTOR, f"connection {shard} is up, but no frame came yet.", moment.in_session)
    elif moment.real_seconds_since(last_frame_ms) > limits.frame_seconds:
        age = _duration(moment.real_seconds_since(last_frame_ms))
        yield Finding(CONNECTOR, f"connection {shard}: the last frame came {age} ago.", moment.in_session)


def _recording(report: Report, shard: int, moment: Moment, limits: Limits) -> Iterator[Finding]:
    fault = report.get(f"shard{shard}_disk_fault", "")
    if fault:
        yield Finding(CONNECTOR, f"the journal of shard {shard} can not be written ({fault}): free the disk.")
    lost = _number(report, f"shard{shard}_lost")
    if lost:
        yield Finding(CONNECTOR, f"{lost:,} entries of shard {shard} are lost: the disk failed for too long.")
    behind = _number(report, f"shard{shard}_backlog_ms") / 1000 / moment.speed
    if behind > limits.lag_seconds:
        yield Finding(
            CONNECTOR, f"shard {shard}: {_duration(behind)} of frames wait in the journal for Redis to take them."
        )


def _worker(
    process: str, report: Report, unread_since_ms: int | None, moment: Moment, limits: Limits
) -> Iterator[Finding]:
    lag = moment.real_seconds_since(unread_since_ms) if unread_since_ms is not None else 0.0
    if lag > limits.lag_seconds:
        yield Finding(process, f"is {_duration(lag)} behind: so long an entry has waited for it.", moment.in_session)
    if report.get("state") == SHARDS_FREE:
        sentence = "some shards are held by no worker: start another one, or see the workers' logs."
        yield Finding(process, sentence, moment.in_session)
    yield from _losses(process, report)
    if _number(report, "file_waiting"):
        sentence = (
            f"{_number(report, 'file_waiting'):,} signals wait for LOG_DIR's file, which refuses them: see its log."
        )
        yield Finding(process, sentence)
    if report.get("archive_state") == "failing":
        fault = report.get("archive_fault") or "no reason given"
        yield Finding(process, f"does not get its results into MongoDB ({fault}); they wait in Redis.")
    elif _number(report, "archive_backlog") > limits.archive_entries:
        yield Finding(process, f"{_number(report, 'archive_backlog'):,} results wait to be stored in MongoDB.")
    for name, what in (("archive_rejected", "refused by MongoDB"), ("archive_lost", "dropped before being stored")):
        if _number(report, name):
            yield Finding(process, f"{_number(report, name):,} results were {what}: see its log.", is_problem=False)


def _losses(process: str, report: Report) -> Iterator[Finding]:
    """What is over since the worker started: worth knowing, and no reason to be unwell until the next start."""
    for name, sentence in _LOSSES:
        count = _number(report, name)
        if count:
            stretch = _duration(_number(report, "lost_ms") / 1000)
            yield Finding(process, sentence.format(count=count, stretch=stretch), is_problem=False)


def _number(report: Report, field: str) -> int:
    try:
        return int(float(report.get(field, "0")))
    except ValueError:
        return 0


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
