"""Answers of the broker that are none: dumps and history that once ended a process, or got into a candle."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.fuzz.history import SPAN, STOCK, history_that_gets
from tests.fuzz.universe import HEADER, check_content
from utils.kite.history import HistoryError
from utils.market.instruments import DumpError, read_dump

GOOD_ROW = ["2026-11-20T09:15:00+0530", 100.0, 102.0, 99.0, 101.0, 500]


def dump(*rows: str) -> bytes:
    return "\n".join((",".join(HEADER), *rows)).encode()


def answer(*rows: object) -> bytes:
    return json.dumps({"status": "success", "data": {"candles": rows}}).encode()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{'9' * 5000},NSE,A,A,NSE,EQ,,0.05,1,0", "their instrument_token is no token"),
        ("٣,NSE,A,A,NSE,EQ,,0.05,1,0", "their instrument_token is no token"),
        ("7,NSE,A,A,NSE,EQ,,1e300,1,0", "their tick_size is above 10000"),
        ("7,NSE,A,A,NSE,EQ,,0.05,1e30,0", "their lot_size is above 4294967295"),
    ],
)
def test_a_row_that_nothing_after_could_carry_is_skipped_and_counted(row: str, reason: str) -> None:
    content = read_dump(dump("408065,NSE,INFY,INFOSYS,NSE,EQ,,0.05,1,0", row))
    assert [instrument.symbol for instrument in content.instruments] == ["NSE:INFY"]
    assert content.skipped == {reason: 1}
    check_content(content)


def test_a_header_that_is_one_endless_field_is_refused() -> None:
    with pytest.raises(DumpError, match="no CSV"):
        read_dump(b"x" * 200_000)


def test_a_dump_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.market.instruments._LARGEST_DUMP", 1 << 20)
    with pytest.raises(DumpError, match="larger than 1 MB"):
        read_dump(gzip.compress(bytes(2 << 20)))
    assert read_dump(gzip.compress(dump())).instruments == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "shape"),
        ([], "shape"),
        ("abcdefg", "shape"),
        ({"a": 1}, "shape"),
        (GOOD_ROW[:5], "shape"),
        ([1795145100, *GOOD_ROW[1:]], "shape"),
        ([GOOD_ROW[0], float("nan"), 102.0, 99.0, 101.0, 500], "number"),
        ([GOOD_ROW[0], 100.0, float("inf"), 99.0, 101.0, 500], "number"),
        ([*GOOD_ROW[:5], float("inf")], "number"),
        ([*GOOD_ROW[:5], -1], "number"),
        ([*GOOD_ROW[:5], 10**400], "number"),
        ([*GOOD_ROW[:5], "500"], "number"),
        ([*GOOD_ROW[:5], True], "number"),
        ([GOOD_ROW[0], 100.0, 98.0, 99.0, 101.0, 500], "prices"),
        ([GOOD_ROW[0], 103.0, 102.0, 99.0, 101.0, 500], "prices"),
        ([GOOD_ROW[0], 0.0, 102.0, 0.0, 101.0, 500], "prices"),
        (["2026-11-20T09:16:00", *GOOD_ROW[1:]], "time"),
        (["0001-01-01T00:00:00+0530", *GOOD_ROW[1:]], ""),
        (["yesterday", *GOOD_ROW[1:]], "time"),
    ],
)
def test_a_row_that_is_no_candle_is_left_out_counted_and_kept(row: object, reason: str) -> None:
    history = history_that_gets(200, {}, answer(GOOD_ROW, row))
    assert [record[1:] for record in history.rows(STOCK, "minute", SPAN)] == [(100.0, 102.0, 99.0, 101.0, 500, 0)]
    assert dict(history.rejected) == ({reason: 1} if reason else {})
    assert len(history.rejected_rows) == len(history.rejected)


def test_what_is_kept_of_rejected_rows_is_bounded() -> None:
    history = history_that_gets(200, {}, answer(*(["x" * 10_000] for _ in range(500))))
    assert history.rows(STOCK, "minute", SPAN) == []
    assert history.rejected == {"shape": 500}
    assert len(history.rejected_rows) == 100
    assert max(map(len, history.rejected_rows)) == 200


def test_rows_come_oldest_first_and_once() -> None:
    later = ["2026-11-20T09:16:00+0530", *GOOD_ROW[1:]]
    history = history_that_gets(200, {}, answer(later, GOOD_ROW, later))
    starts = [row[0] for row in history.rows(STOCK, "minute", SPAN)]
    assert starts == sorted(set(starts))
    assert len(starts) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Gateway Time-out</body></html>",
        b"[" * 200_000,
        b'{"data":{"candles":' + b"[" * 200_000,
        b'{"data":{"candles":{"a":[]}}}',
        b'{"data":{"candles":null}}',
        b'{"data":[]}',
        b"null",
        b'{"data":{"candles":[' + b"9" * 5000 + b"]}}",
        b"\xff\xfe\x00",
    ],
)
def test_an_answer_of_another_shape_is_a_history_error(body: bytes) -> None:
    with pytest.raises(HistoryError, match="did not come: an answer that is no history"):
        history_that_gets(200, {}, body).rows(STOCK, "minute", SPAN)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_garbage_in_place_of_packed_bytes_is_a_history_error(encoding: str) -> None:
    body = gzip.compress(answer(GOOD_ROW))[:-9] + b"garbage"
    with pytest.raises(HistoryError, match="did not come"):
        history_that_gets(200, {"Content-Encoding": encoding}, body[5:]).rows(STOCK, "minute", SPAN)


def test_no_path_of_this_machine_is_in_the_corpus() -> None:
    """What is saved was found on somebody's machine."""
    corpus = Path(__file__).parents[2] / "fuzz" / "corpus"
    assert [path for path in corpus.rglob("*") if path.is_file() and b"/home/" in path.read_bytes()] == []
