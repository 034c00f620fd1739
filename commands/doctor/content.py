"""The doctor on the content of the feed: whether the numbers can be right, not whether frames come."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import CANDLE_WORKER, Finding, Moment, Report, duration, number_of
from utils.candles.class_doubts import silent_sentences
from utils.market.class_facts import from_text

FEWEST_PACKETS = 20
REJECTED_SHARE = 0.05
FEWEST_REVISIONS = 100
REVISED_SHARE = 0.3
EARLIEST_SECONDS, LATEST_SECONDS = -2.0, 5.0  # receipt after the exchange's time; 0.4 to 3 s are usual

_NO_PACKETS = ("frame", "mark")  # counted once for each frame or mark, beside the packets in it
_PHRASES = {
    "price": "because they had no price",
    "crossed": "for a bid above the ask",
    "range": "for a price outside their day range",
    "zscore": "for a price far from those before",
}
_WHERE = "the streams ticks.rejected:* have them"
_REMEDIES = {
    "time": "set this machine's clock (chrony), or see MAX_CLOCK_SKEW_SECONDS",
    "token": "nobody subscribed to these instruments: restart the connector",
}


def content_findings(report: Report, moment: Moment) -> Iterator[Finding]:
    """What the candle worker saw in the packets of the last minutes, and from whom none came.

    What follows from another finding is not reported again: a clock that is wrong rejects, revises and silences.
    """
    clock = _clock(report, moment)
    rejected = _rejected(report, moment, clock is not None)
    revised = _revised(report, moment) if clock is None else None
    unreadable, untimed = _unreadable(report, moment), _untimed(report, moment)
    yield from (finding for finding in (clock, rejected, unreadable, untimed, revised) if finding is not None)
    if clock is None and rejected is None:
        for is_sure, sentence in silent_sentences(from_text(report.get("classes", ""))):
            yield Finding(CANDLE_WORKER, f"{sentence}.", is_sure and moment.in_session)


def _clock(report: Report, moment: Moment) -> Finding | None:
    delays = [moment.real_seconds(number_of(report, name)) for name in report if name.startswith("delay_ms_")]
    earliest, latest = min(delays, default=0.0), max(delays, default=0.0)
    if earliest < EARLIEST_SECONDS:
        what = f"this machine's clock is {duration(-earliest)} behind the exchange's"
    elif latest > LATEST_SECONDS:
        late = duration(latest)
        what = f"packets come {late} after the exchange's time: this machine's clock is ahead, or the feed is late"
    else:
        return None
    sentence = f"{what}; set the clock and keep it set (timedatectl set-ntp true, or chrony)."
    return Finding(CANDLE_WORKER, sentence, moment.in_session)


def _rejected(report: Report, moment: Moment, clock_is_wrong: bool) -> Finding | None:
    """A contract that nobody has traded yet has no price, and that is in order while others have one."""
    packets, counts = number_of(report, "recent_packets"), _rejected_packets(report)
    if counts.get("price", 0) < packets:
        packets -= counts.pop("price", 0)
    total = sum(counts.values())
    if packets < FEWEST_PACKETS or total < REJECTED_SHARE * packets:
        return None
    reason = max(counts, key=lambda name: counts[name])
    why = _PHRASES.get(reason, f"for their {reason}")
    remedy = _REMEDIES.get(reason, _WHERE)
    if reason == "time" and clock_is_wrong:
        remedy = "it is the clock"
    sentence = f"{total:,} of the last {packets:,} packets were rejected, {counts[reason]:,} {why}: {remedy}."
    return Finding(CANDLE_WORKER, sentence, moment.in_session)


def _rejected_packets(report: Report) -> dict[str, int]:
    """By reason, those of the last minutes."""
    prefix = "recent_rejected_"
    reasons = [name.removeprefix(prefix) for name in report if name.startswith(prefix)]
    return {reason: number_of(report, prefix + reason) for reason in reasons if reason not in _NO_PACKETS}


def _unreadable(report: Report, moment: Moment) -> Finding | None:
    frames = number_of(report, "recent_rejected_frame")
    if frames < FEWEST_PACKETS or frames < REJECTED_SHARE * number_of(report, "recent_packets"):
        return None
    sentence = f"{frames:,} of the last frames do not add up to their lengths: {_WHERE}."
    return Finding(CANDLE_WORKER, sentence, moment.in_session)


def _untimed(report: Report, moment: Moment) -> Finding | None:
    count = number_of(report, "untimed")
    if not count:
        return None
    sentence = (
        f"{count:,} instruments come without the exchange's time, though SUBSCRIBE_MODE is full: their candles go by "
        "the time of receipt; restart the connector, which asks for full mode again."
    )
    return Finding(CANDLE_WORKER, sentence, moment.in_session)


def _revised(report: Report, moment: Moment) -> Finding | None:
    trades, amended = number_of(report, "recent_trades"), number_of(report, "recent_amended")
    if amended < FEWEST_REVISIONS or amended <= REVISED_SHARE * trades:
        return None
    sentence = (
        f"{amended:,} revisions for the last {trades:,} trades: these come after their candle closed; see the clock "
        "and the network, or raise CLOSE_GRACE_SECONDS."
    )
    return Finding(CANDLE_WORKER, sentence, moment.in_session)
