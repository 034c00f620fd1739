"""The doctor on the past that indicators need, and on strategies that fail."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import SIGNAL_WORKER, Finding, Moment, Report, number_of

_WARMING = ("starting", "warming up", "waiting")  # how the states begin in which cold rows are no news

_NOTES = (
    ("strategy_faults", "strategies failed {count:,} times, and gave no signal there: see its log."),
    ("unreadable", "{count:,} closed candles could not be read: see its log."),
)


def warmth_findings(report: Report, moment: Moment) -> Iterator[Finding]:
    """Rows of indicators that are cold, and why, and what was left out."""
    yield from _cold(report, moment)
    for name, sentence in _NOTES:
        count = number_of(report, name)
        if count:
            yield Finding(SIGNAL_WORKER, sentence.format(count=count), is_problem=False)


def _cold(report: Report, moment: Moment) -> Iterator[Finding]:
    rows = number_of(report, "rows")
    cold = rows - number_of(report, "warm_rows")
    fault = report.get("history_fault", "")
    if cold <= 0:
        return
    of_them = f"{cold:,} of {rows:,} rows of indicators are cold and give no signal"
    if fault:
        yield Finding(SIGNAL_WORKER, f"{of_them}: {fault}.", moment.soon)
    elif not report.get("state", "").startswith(_WARMING):
        yield Finding(SIGNAL_WORKER, f"{of_them} yet: they have too little past.", is_problem=False)
