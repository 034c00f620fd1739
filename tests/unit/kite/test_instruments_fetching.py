"""The dump over a real socket: kept for the day, archived, and replaced by the newest kept one on a failure."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.shared.servers import free_port
from utils.kite.instrument_dump import dump_day, dump_path, load_dump
from utils.market.instruments import DumpError

HEADER = (
    b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    b"instrument_type,segment,exchange\n"
)
INFY = HEADER + b"408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE\n"
BOTH = INFY + b"2953217,11536,TCS,TCS,0,,0,0.05,1,EQ,NSE,NSE\n"
DAY, NEXT_DAY = date(2026, 11, 19), date(2026, 11, 20)


@dataclass
class Broker:
    """What the server answers, and the headers it was asked with."""

    url: str = ""
    status: int = 200
    body: bytes = INFY
    encoded: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def broker() -> Iterator[Broker]:
    state = Broker()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append({"path": self.path, **dict(self.headers)})
            self.send_response(state.status)
            if state.encoded:
                self.send_header("Content-Encoding", "gzip")
            body = gzip.compress(state.body) if state.encoded else state.body
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_parts: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("encoded", [False, True])
def test_one_that_breaks_off_is_asked_for_again_and_not_kept(broker: Broker, tmp_path: Path, encoded: bool) -> None:
    """Else what came first would be all there is of the day, and the rest named as unknown."""
    broker.body, broker.encoded = BOTH[:-20], encoded
    with pytest.raises(DumpError, match="in the middle of a row"):
        load_dump(broker.url, tmp_path, DAY)
    assert not dump_path(tmp_path, DAY).exists()
    broker.body = BOTH
    assert len(load_dump(broker.url, tmp_path, DAY).instruments) == 2


def test_fetched_once_a_day_with_the_brokers_headers(broker: Broker, tmp_path: Path) -> None:
    first = load_dump(broker.url, tmp_path / "new", DAY, authorization="token key:token")
    again = load_dump(broker.url, tmp_path / "new", DAY)
    assert [instrument.symbol for instrument in first.instruments] == ["NSE:INFY"]
    assert (first.day, first.from_cache, first.notes) == (DAY, False, ())
    assert (again.instruments, again.from_cache, again.notes) == (first.instruments, True, ())
    assert len(broker.asked) == 1
    assert broker.asked[0]["path"] == "/instruments"
    assert broker.asked[0]["X-Kite-Version"] == "3"
    assert broker.asked[0]["Authorization"] == "token key:token"


def test_without_a_token_no_authorization_is_sent(broker: Broker, tmp_path: Path) -> None:
    load_dump(broker.url + "/", tmp_path, DAY)
    assert "Authorization" not in broker.asked[0]
    assert broker.asked[0]["path"] == "/instruments"


@pytest.mark.parametrize("form", ["plain", "content-encoding", "gzip file"])
def test_every_dump_is_archived_as_gzip(broker: Broker, tmp_path: Path, form: str) -> None:
    broker.encoded = form == "content-encoding"
    broker.body = gzip.compress(INFY) if form == "gzip file" else INFY
    load_dump(broker.url, tmp_path, DAY)
    broker.body = BOTH
    assert len(load_dump(broker.url, tmp_path, NEXT_DAY).instruments) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "instruments-2026-11-19.csv.gz",
        "instruments-2026-11-20.csv.gz",
    ]
    assert gzip.decompress((tmp_path / "instruments-2026-11-19.csv.gz").read_bytes()) == INFY


@pytest.mark.parametrize("fault", ["status", "no dump", "no rows", "nobody there"])
def test_a_failed_call_takes_the_newest_kept_and_logs_it(broker: Broker, tmp_path: Path, fault: str) -> None:
    load_dump(broker.url, tmp_path, date(2026, 11, 17))
    broker.body = BOTH
    load_dump(broker.url, tmp_path, date(2026, 11, 18))
    url = f"http://127.0.0.1:{free_port()}" if fault == "nobody there" else broker.url
    broker.status = 503 if fault == "status" else 200
    broker.body = {"no dump": b"<html>", "no rows": HEADER}.get(fault, BOTH)
    found = load_dump(url, tmp_path, NEXT_DAY)
    assert [instrument.symbol for instrument in found.instruments] == ["NSE:INFY", "NSE:TCS"]
    assert (found.day, found.from_cache) == (date(2026, 11, 18), True)
    assert len(found.notes) == 1
    assert "using the dump of 2026-11-18" in found.notes[0]
    assert url in found.notes[0]
    assert not dump_path(tmp_path, NEXT_DAY).exists()


def test_a_later_days_dump_is_only_the_last_resort(broker: Broker, tmp_path: Path) -> None:
    load_dump(broker.url, tmp_path, date(2026, 11, 23))
    broker.status = 500
    assert load_dump(broker.url, tmp_path, NEXT_DAY).day == date(2026, 11, 23)
    broker.status = 200
    load_dump(broker.url, tmp_path, date(2026, 11, 16))
    broker.status = 500
    assert load_dump(broker.url, tmp_path, NEXT_DAY).day == date(2026, 11, 16)


def test_without_any_dump_one_sentence_names_what_to_look_at(broker: Broker, tmp_path: Path) -> None:
    broker.status = 403
    with pytest.raises(DumpError, match=r"no earlier dump is in .*check KITE_API_URL") as caught:
        load_dump(broker.url, tmp_path, DAY, authorization="token key:verysecret")
    assert "verysecret" not in str(caught.value)
    assert "403" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_torn_file_is_fetched_again(broker: Broker, tmp_path: Path) -> None:
    dump_path(tmp_path, DAY).write_bytes(gzip.compress(INFY)[:-9])
    found = load_dump(broker.url, tmp_path, DAY)
    assert (len(found.instruments), found.from_cache) == (1, False)
    assert gzip.decompress(dump_path(tmp_path, DAY).read_bytes()) == INFY


def test_a_folder_that_cannot_be_written_costs_only_the_archive(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = load_dump(broker.url, tmp_path / "file" / "dumps", DAY)
    assert len(found.instruments) == 1
    assert "could not be kept" in found.notes[0]


def test_skipped_rows_are_noted(broker: Broker, tmp_path: Path) -> None:
    broker.body = INFY + b"no token,1,X,X,0,,0,0.05,1,EQ,NSE,NSE\n"
    for _ in range(2):
        assert load_dump(broker.url, tmp_path, DAY).notes == (
            "1 rows of the instruments dump were skipped: 1 because their instrument_token is no token",
        )


def test_before_half_past_eight_yesterdays_dump_is_the_current_one() -> None:
    def at(text: str) -> int:
        return int(datetime.fromisoformat(text).timestamp() * 1000)

    assert dump_day(at("2026-11-20T08:29:59+05:30")) == date(2026, 11, 19)
    assert dump_day(at("2026-11-20T08:30:00+05:30")) == date(2026, 11, 20)
    assert dump_day(at("2026-11-20T23:59:59+05:30")) == date(2026, 11, 20)
