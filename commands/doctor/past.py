"""The doctor on the past that indicators need (jumps, missing history, cold rows), and on strategies that fail."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import SIGNAL_WORKER, Finding, Moment, Report, number_of
from utils.market.ist import ist_date

MOST_NAMED = 3


def past_findings(report: Report, moment: Moment) -> Iterator[Finding]:
    """A jump is a problem on its day, and worth a note until all rows of the instrument are warm again."""
    jumps = [jump.split("|") for jump in report.get("jumped", "").split(";") if jump.count("|") == 3]
    today = ist_date(moment.now_ms).isoformat()
    jumps.sort(key=lambda jump: (jump[1] != today, jump))
    for symbol, day, close, exchange_close in jumps[:MOST_NAMED]:
        yield Finding(SIGNAL_WORKER, _sentence(symbol, day, close, exchange_close), is_problem=day == today)
    if len(jumps) > MOST_NAMED:
        others = f"{len(jumps) - MOST_NAMED:,} more instruments jumped: `jumped` in health:signal_worker names them."
        yield Finding(SIGNAL_WORKER, others, is_problem=jumps[MOST_NAMED][1] == today)
    refused = number_of(report, "history_refused")
    if refused:
        sentence = (
            f"{refused:,} instruments got no history, the broker refused it: its log names them and the reason."
        )
        yield Finding(SIGNAL_WORKER, sentence, is_problem=False)


def _sentence(symbol: str, day: str, close: str, exchange_close: str) -> str:
    return (
        f"{symbol} jumped from {close} to {exchange_close} over the night to {day}, as after a split: it gives no"
        " signals until its rows are warm from candles since; older ones are marked `rescaled_on` in MongoDB."
    )


_WARMING = ("starting", "warming up", "waiting")  # how the states begin in which cold rows are expected

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
