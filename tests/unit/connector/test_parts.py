"""The connector's small decisions, each by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from utils.connector.connection import is_mark_due, look_seconds
from utils.connector.instrument_watch import spread
from utils.kite.access_token import AccessTokens
from utils.kite.refusals import BrokerError, Cause
from utils.kite.ticker import OneConnection, refused_status
from utils.market.instruments import Instrument, SessionClass
from utils.runtime.timing import RetryDelay

UNCLEAN = "connection was closed uncleanly (WebSocket connection upgrade failed ({}))"


def test_a_retry_waits_twice_as_long_up_to_a_limit() -> None:
    delay = RetryDelay(5, 60)
    assert [delay.next_seconds() for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    delay.reset()
    assert delay.next_seconds() == 5


@pytest.mark.parametrize(
    ("reason", "status", "cause"),
    [
        (UNCLEAN.format("403 - Forbidden"), 403, Cause.UNCLEAR),
        (UNCLEAN.format("429 - Too Many Requests"), 429, Cause.THROTTLED),
        (UNCLEAN.format("503"), 503, Cause.SERVERS),
        ("TCP connection timed out: 403 of something", 0, Cause.UNKNOWN),
        ("", 0, Cause.UNKNOWN),
    ],
)
def test_the_reason_names_what_to_do(reason: str, status: int, cause: Cause) -> None:
    assert refused_status(reason) == status
    assert BrokerError(status).cause is cause


def test_time_is_shown_once_a_second_and_only_in_silence() -> None:
    marked = [10_400]
    noted = []
    for now_ms in range(10_500, 15_000, 100):
        if is_mark_due(now_ms, 10_400, marked[-1]):
            marked.append(now_ms)
            noted.append(now_ms)
    assert noted == [12_000, 13_000, 14_000]
    assert not is_mark_due(12_000, 11_000, 0), "the frame of the second before was enough"
    assert is_mark_due(12_000, 10_999, 0)


@pytest.mark.parametrize(("speed", "seconds"), [(0.5, 0.1), (1, 0.1), (5, 0.05), (60, 0.02), (3600, 0.02)])
def test_a_fast_clock_is_looked_at_more_often(speed: float, seconds: float) -> None:
    assert look_seconds(speed) == pytest.approx(seconds)


def stock(name: str) -> Instrument:
    return Instrument(257, "NSE", name, "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)


@pytest.mark.parametrize(("count", "shards"), [(1, 1), (1, 3), (7, 3), (9000, 3), (6001, 3), (5999, 2)])
def test_instruments_are_spread_evenly_and_in_order(count: int, shards: int) -> None:
    symbols = [f"NSE:S{number}" for number in range(count)]
    parts = spread([stock(f"S{number}") for number in range(count)], symbols, shards)
    assert [instrument.symbol for part in parts for instrument in part] == symbols
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 3000


def test_a_missing_instrument_moves_no_other_to_another_shard() -> None:
    symbols = [f"NSE:S{number}" for number in range(6)]
    whole = spread([stock(f"S{number}") for number in range(6)], symbols, 2)
    lacking = spread([stock(f"S{number}") for number in (2, 3, 5)], symbols, 2)
    assert [
        [instrument for instrument in part if instrument.tradingsymbol not in ("S0", "S1", "S4")] for part in whole
    ] == lacking


def test_key_and_token_are_written_into_the_url_as_the_server_reads_them() -> None:
    class Deaf:
        def opened(self) -> None: ...
        def received(self, payload: bytes, is_binary: bool) -> None: ...
        def ended(self, reason: str, error: BrokerError | None) -> None: ...

    connection = OneConnection("ws://127.0.0.1:1", "k&y", "a+b/c=&d", Deaf(), lambda _error: None)
    assert connection.socket_url == "ws://127.0.0.1:1?api_key=k%26y&access_token=a%2Bb%2Fc%3D%26d"
    assert connection.on_ticks is None, "frames must not be parsed"
    assert not connection.debug, "debug lines show the token"


class TokenFile:
    """A token file whose every writing is a later one, however coarse the file system's clock is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seconds: Iterator[int] = iter(range(1_795_000_000, 1_795_001_000))

    def write(self, token: str) -> None:
        self.path.write_text(token + "\n")
        second = next(self._seconds)
        os.utime(self.path, (second, second))


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "token")


def test_the_environment_goes_first_then_the_file(file: TokenFile) -> None:
    file.write("of-file")
    tokens = AccessTokens("of-env", file.path)
    assert tokens.current() == "of-env"
    assert not tokens.look()
    tokens.refuse("of-env")
    assert tokens.current() == "of-file"
    tokens.refuse("of-file")
    assert tokens.current() == ""


def test_a_file_that_changes_goes_before_the_environment(file: TokenFile) -> None:
    tokens = AccessTokens("of-env", file.path)
    assert tokens.current() == "of-env"
    file.write("new")
    assert tokens.current() == "of-env", "it is read when it is looked at"
    assert tokens.look()
    assert not tokens.look()
    assert tokens.current() == "new"
    file.path.unlink()
    assert not tokens.look()
    assert tokens.current() == "of-env"


def test_a_refused_token_gets_another_chance_when_it_is_written_anew(file: TokenFile) -> None:
    file.write("same")
    tokens = AccessTokens("", file.path)
    tokens.refuse("same")
    assert tokens.current() == ""
    file.write("same")
    assert tokens.look()
    assert tokens.current() == "same"


@pytest.mark.parametrize(
    "content",
    [
        b"Abc123",
        b"Abc123\r\n",
        b"\xef\xbb\xbfAbc123\r\n",
        "Abc123\r\n".encode("utf-16"),
        "Abc123\r\n".encode("utf-16-le"),
        b"\xfe\xff" + "Abc123\n".encode("utf-16-be"),
        b'"Abc123"\n',
        "“Abc123”\n".encode(),
        b"\n\n  Abc123  \n\n",
        b"ACCESS_TOKEN=Abc123\n",
        b"export ACCESS_TOKEN='Abc123'\n",
        b"access_token: Abc123\n",
    ],
)
def test_a_token_file_is_read_as_people_write_it(file: TokenFile, content: bytes) -> None:
    tokens = AccessTokens("", file.path)
    file.path.write_bytes(content)
    assert tokens.look()
    assert tokens.current() == "Abc123"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Abc\xff123\n", "is no text in UTF-8 or UTF-16"),
        (b"my token is Abc123\n", "holds more than a token"),
        (b"Abc123\nDef456\n", "holds more than a token"),
        (b"key:Abc123\n", "holds more than a token"),
        (b'"Abc123\n', "holds more than a token"),
    ],
)
def test_a_token_file_without_a_token_is_named_and_not_shown(file: TokenFile, content: bytes, reason: str) -> None:
    tokens = AccessTokens("of-env", file.path)
    file.path.write_bytes(content)
    with structlog.testing.capture_logs() as logged:
        assert not tokens.look()
        assert not tokens.look()
    assert tokens.current() == "of-env"
    (line,) = logged
    assert line["log_level"] == "warning"
    assert line["event"].startswith(f"ACCESS_TOKEN_FILE: {file.path} {reason}")
    assert "Abc" not in line["event"]


def test_an_empty_token_file_is_none_and_no_fault(file: TokenFile) -> None:
    file.path.write_bytes(b"\xef\xbb\xbf\r\n")
    with structlog.testing.capture_logs() as logged:
        assert AccessTokens("", file.path).current() == ""
    assert logged == []


def test_no_file_and_an_unreadable_one_are_no_token(file: TokenFile) -> None:
    assert AccessTokens("", file.path).current() == ""
    file.path.write_bytes(b"\xff\xfe")
    assert AccessTokens("", file.path).current() == ""
