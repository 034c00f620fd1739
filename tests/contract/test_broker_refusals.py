"""What connect.py and the doctor report of a broker that refuses: each cause by its own name, with its own wait."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_connect import ROWS, wait_until_subscribed
from tests.shared.connector_process import ConnectorProcess, running_connector, wait_until
from tests.shared.console_here import manage_here
from tests.shared.fake_broker import FakeBroker
from tests.shared.servers import ValkeyServer
from utils.kite.token_file import store_token

AUTHENTICATION_FAILED = (403, "", "Authentication failed.")
NO_PERMISSION = (403, "PermissionException", "Insufficient permission for that call.")
DEAD_TOKEN = (403, "TokenException", "Incorrect `api_key` or `access_token`.")


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with FakeBroker(ROWS) as broker:
        yield broker


@pytest.fixture
def in_session() -> dict[str, str]:
    """Half past ten on a trading day, from now on."""
    return {"MARKET_CLOCK": f"2026-11-20T10:30:00+05:30@1@{time.time():.3f}"}


def doctor(connector: ConnectorProcess) -> tuple[int, str]:
    """The containers' health check: exit code, and what it prints."""
    own = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    environment = {**own, "HOME": "/nonexistent", **connector.settings}
    done = manage_here(["doctor", "--process", "connector"], connector.directory, environment)
    assert done.stderr == ""
    return done.returncode, done.stdout


def is_in(field: str, words: str, connector: ConnectorProcess) -> None:
    wait_until(lambda: words in connector.health().get(field, ""), f"{words!r} in {field}")


def assert_app_is_named(connector: ConnectorProcess, answer: str) -> None:
    """By the doctor: what is wrong with the app, and nothing of a login."""
    wait_until(lambda: connector.health().get("state") == "refused by the broker", "the state")
    is_in("shard0_refusal", "the Kite app has no market data", connector)
    code, printed = doctor(connector)
    assert code == 1
    assert "its plan must be Connect" in printed
    assert "another login does not help" in printed
    assert answer in printed
    assert "manage.py login" not in printed


@pytest.mark.parametrize("answer", [AUTHENTICATION_FAILED, NO_PERMISSION], ids=["bare 403", "PermissionException"])
def test_an_app_without_market_data_is_not_asked_to_log_in(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, in_session: dict[str, str], answer: tuple[int, str, str]
) -> None:
    broker.refusals["/"] = answer
    broker.user_id = "AB1234"
    with running_connector(tmp_path / "connector", broker, valkey, **in_session) as connector:
        assert_app_is_named(connector, answer[2])
        assert len(broker.attempts) == 1
        # The person logs in all the same: one more attempt, and the same words.
        store_token(Path(connector.settings["ACCESS_TOKEN_FILE"]), "another-token")
        wait_until(lambda: len(broker.attempts) == 2, "an attempt with the new token")
        assert_app_is_named(connector, answer[2])
        written = connector.logged
        assert "another-token" not in written
        assert "run manage.py login" not in written
        del broker.refusals["/"]
        store_token(Path(connector.settings["ACCESS_TOKEN_FILE"]), "token-three")
        wait_until_subscribed(broker, 1)
        wait_until(lambda: connector.health()["shard0_refusal"] == "", "the refusal is over")
        assert doctor(connector)[0] == 0


@pytest.mark.parametrize("answer", [AUTHENTICATION_FAILED, DEAD_TOKEN], ids=["bare 403", "TokenException"])
def test_a_dead_token_is_asked_to_log_in(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, in_session: dict[str, str], answer: tuple[int, str, str]
) -> None:
    broker.refusals |= {"/": answer, "/user/profile": DEAD_TOKEN}
    with running_connector(tmp_path / "connector", broker, valkey, **in_session) as connector:
        is_in("shard0_refusal", "Incorrect `api_key` or `access_token`.", connector)
        assert connector.health()["state"] == "waiting for a new access token"
        code, printed = doctor(connector)
        assert code == 1
        assert "the access token is not valid any more: log in with 'python manage.py login'" in printed
        assert len(broker.attempts) == 1


def test_a_bare_403_without_a_profile_names_both_causes(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, in_session: dict[str, str]
) -> None:
    broker.refusals["/"] = AUTHENTICATION_FAILED
    with running_connector(tmp_path / "connector", broker, valkey, **in_session) as connector:
        is_in("shard0_refusal", "or the Kite app has no market data", connector)
        assert connector.health()["state"] == "waiting for a new access token"
        assert doctor(connector)[0] == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, "InputException", "Invalid `api_key`."), "API_KEY is not that of an active Kite app"),
        ((429, "NetworkException", "Too many requests"), "see whether another program uses this API_KEY"),
        ((403, "UserException", "The account is blocked for reasons."), "The account is blocked for reasons."),
        ((503, "NetworkException", "Down for maintenance"), "Down for maintenance"),
    ],
)
def test_each_refusal_is_shown_with_its_cause_or_as_the_broker_gave_it(
    tmp_path: Path,
    broker: FakeBroker,
    valkey: ValkeyServer,
    in_session: dict[str, str],
    answer: tuple[int, str, str],
    words: str,
) -> None:
    broker.refusals["/"] = answer
    with running_connector(tmp_path / "connector", broker, valkey, **in_session) as connector:
        is_in("shard0_refusal", words, connector)
        code, printed = doctor(connector)
        assert code == 1
        assert words in printed
        assert answer[2] in printed
        assert "manage.py login" not in printed


def test_instruments_refused_for_the_token_name_the_token(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, in_session: dict[str, str]
) -> None:
    broker.refusals["/instruments"] = DEAD_TOKEN
    with running_connector(tmp_path / "connector", broker, valkey, **in_session) as connector:
        is_in("instruments_fault", "log in with 'python manage.py login'", connector)
        code, printed = doctor(connector)
        assert code == 1
        assert "TokenException 403: Incorrect `api_key` or `access_token`." in printed
        assert "check KITE_API_URL" not in printed + connector.logged


def test_one_unknown_symbol_is_named_and_unhealthy(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, in_session: dict[str, str]
) -> None:
    settings = {**in_session, "INSTRUMENTS": "NSE:AAA,NSE:NOSUCH"}
    with running_connector(tmp_path / "connector", broker, valkey, **settings) as connector:
        wait_until_subscribed(broker, 1)
        is_in("instruments_missing", "NSE:NOSUCH", connector)
        code, printed = doctor(connector)
        assert code == 1
        assert "NSE:NOSUCH: correct INSTRUMENTS" in printed


def test_no_known_symbol_at_all_is_named_not_the_network(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, in_session: dict[str, str]
) -> None:
    settings = {**in_session, "INSTRUMENTS": "NSE:NOSUCH"}
    with running_connector(tmp_path / "connector", broker, valkey, **settings) as connector:
        assert connector.process is not None
        assert connector.process.wait(90) == 2
        code, printed = doctor(connector)
        assert code == 1
        assert "none of them is in the broker's instruments" in printed
        assert "NSE:NOSUCH" in printed
        assert "did not answer" not in printed


def test_the_brokers_texts_are_shown_until_the_next_connection(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, in_session: dict[str, str]
) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, **in_session) as connector:
        wait_until_subscribed(broker, 1)
        broker.send(
            '{"type": "error", "data": "Instrument 8 not subscribed: quota of token-one is used up"}',
            '{"type": "message", "data": "Maintenance at 10:00"}',
            '{"type": "order", "data": {"order_id": "1"}}',
            '{"type": ["error"], "data": 1}',
        )
        is_in("shard0_broker_message", "Maintenance at 10:00", connector)
        code, printed = doctor(connector)
        assert code == 1
        assert "reports an error: 'Instrument 8 not subscribed: quota of *** is used up'" in printed
        assert "note     connector: connection 0: the broker writes: 'Maintenance at 10:00'" in printed
        assert "token-one" not in connector.logged + printed
        assert "quota of" in connector.logged
        broker.drop_all()
        wait_until_subscribed(broker, 2)
        wait_until(lambda: connector.health()["shard0_broker_error"] == "", "a new connection")
        assert doctor(connector)[0] == 0
