"""The doctor's sentences on the content of the feed."""

from __future__ import annotations

import pytest

from commands.doctor.content import content_findings
from commands.doctor.findings import Moment
from utils.market.class_facts import ClassFacts, Quiet, Quiets, as_text, from_text
from utils.runtime.health import Fields, merged

LIVE = Moment(1_795_150_000_000, in_session=True, soon=True)
NIGHT = Moment(1_795_150_000_000, in_session=False, soon=False)
WELL = {
    "recent_packets": "900", "recent_trades": "600", "recent_amended": "12", "recent_rejected_time": "0",
    "recent_rejected_zscore": "2", "delay_ms_0": "930", "delay_ms_1": "2900",
    "classes": as_text([ClassFacts("NSE equity", 500, quiet_ms=400, limit_ms=45_000)]),
}  # fmt: skip
OTHERS = ClassFacts("NSE equity", 3, quiet_ms=400, limit_ms=45_000)
TCS = OTHERS._replace(silent=Quiets(1, (Quiet("NSE:TCS", 720_000),)))
TWO = OTHERS._replace(silent=Quiets(9, (Quiet("NSE:X", 180_000), Quiet("NSE:Y", 67_000))))
OPTION = OTHERS._replace(unsure=Quiets(1, (Quiet("NFO:NIFTY26NOV25000CE", 48 * 60_000),)))


def found(moment: Moment = LIVE, **fields: str) -> list[tuple[str, bool]]:
    return [(finding.sentence, finding.is_problem) for finding in content_findings({**WELL, **fields}, moment)]


def test_right_numbers_are_well() -> None:
    assert found() == []
    assert found(NIGHT) == []
    assert list(content_findings({}, LIVE)) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"delay_ms_1": "-180000"}, "clock is 3 min behind the exchange's; set the clock"),
        ({"delay_ms_1": "180000"}, "packets come 3 min after the exchange's time: this machine's clock is ahead"),
        ({"delay_ms_0": "-2100"}, "clock is 2 s behind"),
        ({"recent_packets": "184", "recent_rejected_range": "179"}, "181 of the last 184 packets were rejected, 179"),
        ({"recent_rejected_token": "300"}, "302 of the last 900 packets were rejected, 300 for their token: nobody"),
        ({"recent_rejected_crossed": "300"}, "300 for a bid above the ask: the stream"),
        ({"recent_rejected_price": "900", "recent_rejected_zscore": "0"}, "900 because they had no price:"),
        ({"recent_rejected_frame": "90"}, "90 of the last frames do not add up to their lengths: the stream"),
        ({"recent_rejected_time": "300"}, "300 for their time: set this machine's clock (chrony)"),
        ({"untimed": "3"}, "3 instruments come without the exchange's time, though SUBSCRIBE_MODE is full"),
        ({"recent_amended": "270"}, "270 revisions for the last 600 trades"),
        ({"classes": as_text([TCS, TWO])}, "of NSE:TCS (12 min), NSE:X (3 min), NSE:Y (67 s) and 7 more, unlike"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_problem_in_session_and_a_note_at_night(fields: dict[str, str], words: str) -> None:
    for moment, is_problem in ((LIVE, True), (NIGHT, False)):
        ((sentence, problem),) = found(moment, **fields)
        assert words in sentence
        assert problem is is_problem


def test_a_wrong_clock_is_reported_once() -> None:
    sentences = found(delay_ms_0="-180000", recent_amended="900", recent_rejected_time="800", classes=as_text([TCS]))
    assert len(sentences) == 2
    assert sentences[1][0].endswith("for their time: it is the clock.")


def test_the_clock_is_judged_in_real_seconds() -> None:
    fast = Moment(LIVE.now_ms, in_session=True, soon=True, speed=60.0)
    assert list(content_findings({**WELL, "delay_ms_0": "280000"}, fast)) == []
    assert len(list(content_findings({**WELL, "delay_ms_0": "310000"}, fast))) == 1


def test_a_quiet_option_is_a_note() -> None:
    assert found(classes=as_text([OPTION])) == [
        (
            "no usable quote of NFO:NIFTY26NOV25000CE (48 min), unlike their habit; see INSTRUMENTS and the broker's "
            "own app.",
            False,
        )
    ]


def test_contracts_that_nobody_traded_yet_are_well() -> None:
    """Their book moves, their last price is 0: two of three packets here."""
    assert found(recent_rejected_price="600") == []
    ((sentence, _),) = found(recent_rejected_price="600", recent_rejected_range="40")
    assert sentence.startswith("42 of the last 300 packets were rejected, 40 for a price outside their day range")


def test_a_frame_that_breaks_off_is_no_packet() -> None:
    broken = {"recent_packets": "88", "recent_rejected_frame": "88", "recent_rejected_length": "88"}
    assert [sentence for sentence, _ in found(LIVE, **broken, recent_rejected_zscore="0")] == [
        "88 of the last 88 packets were rejected, 88 for their length: the streams ticks.rejected:* have them.",
        "88 of the last frames do not add up to their lengths: the streams ticks.rejected:* have them.",
    ]


def test_few_packets_prove_nothing() -> None:
    assert found(recent_packets="19", recent_rejected_time="19") == []
    assert found(recent_trades="99", recent_amended="99") == []


def test_the_instruments_of_a_class_that_is_mute_are_not_reported_singly() -> None:
    mute = TCS._replace(quiet_ms=720_000)
    assert found(classes=as_text([mute])) == []
    ((sentence, _),) = found(classes=as_text([mute, TWO._replace(name="BSE equity")]))
    assert "NSE:TCS" not in sentence


def test_a_class_that_trades_in_one_worker_is_not_mute() -> None:
    silent = ClassFacts("NSE equity", 3, since_ms=5, quiet_ms=720_000, limit_ms=60_000, silent=TCS.silent)
    lively = ClassFacts("NSE equity", 2, since_ms=725, quiet_ms=0, limit_ms=45_000)
    ours: Fields = {"classes": as_text([silent]), "recent_packets": 3}
    theirs: Fields = {"classes": as_text([lively]), "recent_packets": 400}
    whole = merged([ours, theirs])
    assert whole["recent_packets"] == 403
    assert from_text(str(whole["classes"])) == [
        ClassFacts("NSE equity", 5, since_ms=725, quiet_ms=0, limit_ms=45_000, silent=TCS.silent)
    ]
    later: Fields = {"classes": as_text([silent._replace(quiet_ms=90_000)])}
    (of_both,) = from_text(str(merged([ours, later])["classes"]))
    assert of_both.quiet_ms == 90_000
