"""A session table that cannot be believed is refused with one sentence that names the entry."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from utils.market.instruments import SessionClass
from utils.market.ist import ist_midnight_ms
from utils.market.sessions import SESSIONS_FILE, SessionCalendar
from utils.market.sessions_file import SessionsError

GOOD = """
[known]
from = 2026-01-01
to = 2026-12-31
source = "a test"

[groups]
all = ["equity_fno", "equity", "index", "equity_derivative", "index_derivative", "currency", "commodity"]

[[period]]
classes = ["all"]
open = "10:00"
close = "16:00"
day_start = "09:50"
day_end = "16:10"
source = "a test"
"""


def period(text: str) -> str:
    return GOOD + '\n[[period]]\nclasses = ["index"]\nsource = "a test"\n' + text


def holidays(text: str) -> str:
    return GOOD + '\n[[holidays]]\nclasses = ["index"]\nsource = "a test"\n' + text


def special(text: str) -> str:
    return GOOD + '\n[[special]]\nclasses = ["index"]\nsource = "a test"\n' + text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[known", "not valid TOML"),
        (GOOD.replace("2026-12-31", '"soon"'), "[known]: to 'soon' is not a date"),
        (GOOD.replace("2026-12-31", "2025-12-31"), "[known]: from is after to"),
        (GOOD.replace('"commodity"]', "]"), "commodity has no [[period]] without `from`"),
        (GOOD.replace('"commodity"]', '"gold"]'), "[[period]] number 1 names an unknown class"),
        (GOOD.replace('close = "16:00"', ""), "[[period]] number 1 has no close"),
        (GOOD.replace('"16:00"', '"24:00"'), "[[period]] number 1: close '24:00' is not a time of day"),
        (GOOD.replace('"16:00"', '"09:59"'), "[[period]] number 1: the times do not rise"),
        (GOOD.replace('"16:10"', '"15:59"'), "[[period]] number 1: the times do not rise"),
        (GOOD.replace("day_end", "day_over"), "[[period]] number 1 has an unknown key 'day_over'"),
        (GOOD.replace("[[period]]", "[period]"), "period is not a list of tables: write [[period]]"),
        (GOOD + "[holiday]\n", "unknown key 'holiday'"),
        (
            special('places = ["NSEE"]\nopen = "12:00"\ndates = {2026-05-01 = "May"}'),
            "'NSEE' is no exchange or segment",
        ),
        (
            special('places = ["NFO-FUTURES"]\nopen = "12:00"\ndates = {2026-05-01 = "May"}'),
            "'NFO-FUTURES' is no exchange",
        ),
        (
            special('places = ["NSE:INFY"]\nopen = "12:00"\ndates = {2026-05-01 = "May"}'),
            "'NSE:INFY' is no exchange or segment such as 'NFO' or 'NFO-FUT', nor contracts on one underlying",
        ),
        (
            special('places = ["MCX:"]\nopen = "12:00"\ndates = {2026-05-01 = "May"}'),
            "'MCX:' is no exchange",
        ),
        (period('open = "10:00"\nclose = "11:00"'), "[[period]] number 2: index already has a period"),
        (period('from = 2026-05-01\nopen = "10:00"\nclose = "11:00"\nexpiring_close = "12:00"'), "expiring_close"),
        (period('from = "May"\nopen = "10:00"\nclose = "11:00"'), "[[period]] number 2: from 'May' is not a date"),
        (holidays(""), "[[holidays]] number 1 has no dates"),
        (holidays('dates = {2026-02-30 = "never"}'), "[[holidays]] number 1: "),
        (holidays('dates = {2026-05-01 = "May"}').replace('["index"]', "[]"), "number 1 has no classes"),
        (
            holidays('dates = {2026-05-01 = "May"}').replace('["index"]', '["index", "all"]'),
            "already a holiday of index",
        ),
        (holidays('dates = {2026-05-01 = "May"}').replace('"a test"\ndates', '" "\ndates'), "has no source"),
        (
            special('open = "12:00"\nclose = "11:00"\ndates = {2026-05-01 = "May"}'),
            "[[special]] 2026-05-01 for index: the times do not rise",
        ),
        (
            special('open = "16:00"\ndates = {2026-05-01 = "May"}'),
            "[[special]] 2026-05-01 for index: the times do not rise",
        ),
        (
            special('dates = {2026-05-01 = "May"}').replace('["index"]', '["index", "index"]'),
            "[[special]] number 1: 2026-05-01 stands twice for index",
        ),
    ],
)
def test_a_malformed_table_is_one_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "hours.toml"
    path.write_text(text)
    with pytest.raises(SessionsError) as caught:
        SessionCalendar.load(path)
    message = str(caught.value)
    assert complaint in message
    assert str(path) in message
    assert "\n" not in message


def test_an_absent_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SessionsError, match=r"absent\.toml: cannot be read"):
        SessionCalendar.load(tmp_path / "absent.toml")


def test_the_good_table_is_good_and_special_days_keep_what_they_do_not_change(tmp_path: Path) -> None:
    path = tmp_path / "hours.toml"
    path.write_text(special('open = "12:00"\ndates = {2026-05-02 = "a Saturday"}'))
    calendar = SessionCalendar.load(path)
    session = calendar.session(SessionClass.INDEX, date(2026, 5, 2))
    assert session is not None
    midnight_ms = session.open_ms - 12 * 3_600_000
    assert session.day_start_ms == session.open_ms
    assert (session.close_ms - midnight_ms) / 60_000 == 16 * 60
    assert (session.day_end_ms - midnight_ms) / 60_000 == 16 * 60 + 10
    assert calendar.session(SessionClass.EQUITY, date(2026, 5, 2)) is None


def test_an_earlier_close_of_expiring_contracts_holds_on_ordinary_hours_only(tmp_path: Path) -> None:
    path = tmp_path / "hours.toml"
    base = GOOD.replace('day_end = "16:10"', 'day_end = "16:10"\nexpiring_close = "15:00"')
    path.write_text(
        base
        + """
[[special]]
classes = ["index"]
open = "18:00"
close = "19:00"
dates = {2026-05-04 = "an evening"}
source = "a test"

[[special]]
classes = ["index"]
dates = {2026-05-09 = "a Saturday"}
source = "a test"
"""
    )
    calendar = SessionCalendar.load(path)
    lengths = []
    for day in ("2026-05-04", "2026-05-05", "2026-05-09"):
        session = calendar.session(SessionClass.INDEX, date.fromisoformat(day), expiry=day)
        assert session is not None
        lengths.append((session.close_ms - session.open_ms) / 60_000)
    assert lengths == [60, 300, 300]


OWN = """
[known]
to = 2027-12-31

[[holidays]]
classes = ["all"]
dates = { 2027-03-22 = "Holi" }
source = "the list of 2027"

[[special]]
classes = ["all"]
places = ["NSE"]
close = "17:00"
dates = { 2026-11-20 = "extended" }
source = "a notice of 15:17"

[[special]]
classes = ["exchange"]
dates = { 2026-11-24 = "open all the same" }
source = "a notice"

[[special]]
classes = ["all"]
open = "18:00"
close = "19:00"
dates = { 2026-11-08 = "Muhurat" }
source = "a circular"

[[period]]
classes = ["equity_fno"]
from = 2026-12-07
open = "09:15"
close = "15:20"
source = "a circular"
"""


def with_own(tmp_path: Path, text: str = OWN) -> SessionCalendar:
    path = tmp_path / "sessions.local.toml"
    path.write_text(text)
    return SessionCalendar.load(local=path)


def minutes(calendar: SessionCalendar, day: str, places: tuple[str, ...] = (), of: str = "equity_fno") -> str:
    session = calendar.session(SessionClass(of), date.fromisoformat(day), places=places)
    if session is None:
        return "closed"
    at = [(edge_ms - ist_midnight_ms(session.date)) // 60_000 for edge_ms in (session.open_ms, session.close_ms)]
    return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in at)


def test_a_file_of_your_own_goes_before_ours_entry_by_entry(tmp_path: Path) -> None:
    ours, own = SessionCalendar.load(), with_own(tmp_path)
    assert minutes(ours, "2026-11-20", ("NSE", "NSE")) == "09:15-15:15"
    assert minutes(own, "2026-11-20", ("NSE", "NSE")) == "09:15-17:00"
    assert minutes(own, "2026-11-20", ("BSE", "BSE")) == "09:15-15:15", "only NSE is open for longer"
    assert (minutes(ours, "2026-11-24"), minutes(own, "2026-11-24")) == ("closed", "09:15-15:15")
    assert (minutes(ours, "2027-03-22"), minutes(own, "2027-03-22")) == ("09:15-15:30", "closed")
    assert (minutes(ours, "2026-12-08"), minutes(own, "2026-12-08")) == ("09:15-15:30", "09:15-15:20")
    assert minutes(own, "2026-12-25") == "closed", "what the file leaves out is ours"
    assert minutes(own, "2026-11-08", of="commodity") == "18:00-19:00"
    assert not ours.is_known(date(2026, 11, 8))
    assert own.is_known(date(2026, 11, 8)), "what was a guess is known now"
    assert (own.last_known_day, own.is_known(date(2027, 6, 1))) == (date(2027, 12, 31), True)


def test_a_ruling_names_its_sources_and_names_what_is_not_certain(tmp_path: Path) -> None:
    ours, own, fno = SessionCalendar.load(), with_own(tmp_path), SessionClass.EQUITY_FNO
    assert not ours.ruling(fno, (), date(2026, 12, 7)).certain
    assert ours.ruling(fno, (), date(2026, 12, 4)).certain
    assert own.ruling(fno, (), date(2026, 12, 7)).certain
    future = ours.ruling(SessionClass.INDEX_DERIVATIVE, ("NFO-FUT", "NFO"), date(2026, 12, 8))
    assert not future.certain, "the auction before the open is certain, the close is not"
    assert [source.split(",")[0] for source in future.sources] == [
        "NSE circular on the pre-open session of futures",
        "One third-party report",
    ]
    extended = own.ruling(fno, ("NSE", "NSE"), date(2026, 11, 20))
    assert (extended.why, extended.sources[0]) == ("extended", "a notice of 15:17 (sessions.local.toml)")
    assert ours.ruling(fno, (), date(2026, 11, 24)).why == "Prakash Gurpurb Sri Guru Nanak Dev"
    assert ours.ruling(fno, (), date(2026, 11, 21)).why == "a Saturday"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[holidays", "not valid TOML"),
        (OWN.replace('["NSE"]', '["nse"]'), "[[special]] number 1: 'nse' is no exchange or segment such as 'NFO'"),
        (OWN.replace('["NSE"]', '"NSE"'), "[[special]] number 1: places is not a list such as ['NSE', 'NFO-FUT']"),
        (
            OWN.replace('close = "17:00"', 'close = "09:00"'),
            "[[special]] 2026-11-20 for equity_fno at NSE: the times",
        ),
        (OWN.replace('source = "a notice of 15:17"', ""), "[[special]] number 1 has no source"),
        (OWN.replace('close = "15:20"', ""), "[[period]] number 1 has no close"),
        (
            OWN.replace('close = "15:20"', 'approximate = "no"\nclose = "15:20"'),
            "approximate is 'no', not true or fal",
        ),
        ("[known]\nto = 2023-12-31\n", ""),
    ],
)
def test_a_malformed_file_of_your_own_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    if not complaint:
        assert with_own(tmp_path, text).last_known_day == date(2026, 12, 31)
        return
    with pytest.raises(SessionsError) as caught:
        with_own(tmp_path, text)
    assert str(tmp_path / "sessions.local.toml") in str(caught.value)
    assert complaint in str(caught.value)


def test_without_a_file_of_your_own_ours_holds(tmp_path: Path) -> None:
    calendar = SessionCalendar.load(local=tmp_path / "sessions.local.toml")
    assert minutes(calendar, "2026-11-20") == "09:15-15:15"


def test_every_entry_of_the_real_table_names_its_source() -> None:
    text = SESSIONS_FILE.read_text()
    entries = text.count("[[period]]") + text.count("[[holidays]]") + text.count("[[special]]")
    assert entries > 30
    assert text.count("\nsource = ") == entries + 1  # and [known]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_table_is_read_as_an_editor_stores_it(tmp_path: Path, encoding: str, line_end: str) -> None:
    path = tmp_path / "sessions.toml"
    path.write_bytes(GOOD.replace("\n", line_end).encode(encoding))
    assert SessionCalendar.load(path).session(SessionClass.INDEX, date(2026, 11, 20)) is not None
