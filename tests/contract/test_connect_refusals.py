"""What connect.py does when the broker, its certificate, the instruments or the settings are not as wanted."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.contract.test_connect import AAA, NINE_IST_MS, ROWS, wait_until_subscribed
from tests.shared.connector_process import WAIT_SECONDS, ConnectorProcess, running_connector, wait_until
from tests.shared.fake_broker import FakeBroker, stock
from tests.shared.servers import ValkeyServer
from utils.kite.token_file import store_token
from utils.market.clock import new_stepped_clock


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with FakeBroker(ROWS) as broker:
        yield broker


def all_it_wrote(connector: ConnectorProcess) -> str:
    return connector.logged + "".join(path.read_text() for path in (connector.directory / "logs").iterdir())


def test_a_refused_token_waits_for_a_new_one(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    broker.accepted_tokens = {"new/token+2=="}
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        wait_until(lambda: "run manage.py login" in connector.logged, "the sentence")
        wait_until(lambda: connector.health().get("state") == "waiting for a new access token", "the health report")
        wait_until(lambda: len(connector.marks(clock=True)) >= 4, "some seconds of waiting")
        assert len(broker.attempts) == 1
        assert "403" in connector.marks()[-1]["reason"]
        assert connector.marks()[-1]["mark"] == "down"
        store_token(Path(connector.settings["ACCESS_TOKEN_FILE"]), "new/token+2==")
        wait_until_subscribed(broker, 1)
        assert broker.connections[0].token == "new/token+2=="
        assert connector.process is not None
        assert connector.process.poll() is None
        assert connector.stop() == 0
        written = all_it_wrote(connector)
        payloads = b"".join(payload for _, _, payload in connector.entries())
    for secret in ("token-one", "new/token+2==", "new%2Ftoken"):
        assert secret not in written
        assert secret.encode() not in payloads


def test_a_token_of_the_file_is_tried_when_that_of_the_environment_is_refused(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    broker.accepted_tokens = {"from-file"}
    store_token(tmp_path / "connector" / "token", "from-file")
    with running_connector(tmp_path / "connector", broker, valkey):
        wait_until_subscribed(broker, 1)
        assert len(broker.attempts) == 2


def test_without_any_token_it_waits(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, ACCESS_TOKEN="") as connector:
        wait_until(lambda: "there is no access token" in connector.logged, "the sentence")
        assert broker.attempts == []
        store_token(Path(connector.settings["ACCESS_TOKEN_FILE"]), "first")
        wait_until_subscribed(broker, 1)


def test_a_changed_token_is_kept_for_the_next_connection(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        wait_until_subscribed(broker, 1)
        store_token(Path(connector.settings["ACCESS_TOKEN_FILE"]), "token-two")
        seen = len(connector.entries())
        wait_until(lambda: len(connector.entries()) > seen + 10, "two seconds of heartbeats")
        assert len(broker.connections) == 1
        broker.drop_all()
        wait_until_subscribed(broker, 2)
        assert [connection.token for connection in broker.connections] == ["token-one", "token-two"]


def test_too_many_requests_wait_for_seconds(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    broker.refuse_next.append(429)
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        wait_until_subscribed(broker, 1)
        assert len(broker.attempts) == 2
        assert broker.attempts[1] - broker.attempts[0] >= 5.0
        wait_until(lambda: len(connector.marks()) > 1, "the mark of the refusal")
        assert "429" in connector.marks()[1]["reason"]


def test_a_failing_server_is_tried_again(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    broker.refuse_next.extend([503, 502])
    with running_connector(tmp_path / "connector", broker, valkey):
        wait_until_subscribed(broker, 1)
        gaps = [later - earlier for earlier, later in zip(broker.attempts, broker.attempts[1:], strict=False)]
        assert gaps[0] > 0.4 and gaps[1] > 0.8, "each wait is longer than the one before"


def test_the_network_may_come_later(tmp_path: Path, valkey: ValkeyServer) -> None:
    with FakeBroker(ROWS) as broker:
        port = broker.port
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        wait_until(lambda: "did not give the instruments" in connector.logged, "the first failure")
        with FakeBroker(ROWS, port=port) as back:
            wait_until_subscribed(back, 1)
            assert connector.stop() == 0


def test_missing_instruments_are_named_and_the_rest_goes_on(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, INSTRUMENTS="NSE:AAA,NSE:NOSUCH") as connector:
        wait_until_subscribed(broker, 1)
        assert "NSE:NOSUCH" in connector.logged
        assert broker.connections[0].subscribed() == [AAA]


def test_no_instrument_at_all_is_one_sentence(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, INSTRUMENTS="NSE:NOSUCH") as connector:
        assert connector.process is not None
        assert connector.process.wait(WAIT_SECONDS) == 2
        assert connector.logged.splitlines()[-1].startswith("connect: INSTRUMENTS: none of them")
        assert "Traceback" not in connector.logged


def test_without_an_api_key_it_does_not_begin(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, API_KEY="") as connector:
        assert connector.process is not None
        assert connector.process.wait(WAIT_SECONDS) == 2
        assert connector.logged.splitlines()[-1].startswith("connect: API_KEY")


def test_a_second_connector_on_the_same_journal_is_refused(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    with running_connector(tmp_path / "connector", broker, valkey) as first:
        wait_until_subscribed(broker, 1)
        journal = str(tmp_path / "connector" / "journal")
        with running_connector(tmp_path / "second", broker, valkey, JOURNAL_DIR=journal) as second:
            assert second.process is not None
            assert second.process.wait(WAIT_SECONDS) == 2
            assert "another connector writes to" in second.logged
            assert "Traceback" not in second.logged
        assert len(broker.connections) == 1
        assert first.stop() == 0
        first.start()
        wait_until_subscribed(broker, 2)


def certificate(directory: Path, *names: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for the host names or addresses, and a server context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    hosts = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, key_path = directory / f"{names[0]}.pem", directory / f"{names[0]}.key"
    chain.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key_path)
    return chain, context


@pytest.mark.parametrize(
    ("host", "is_trusted", "is_accepted"),
    [("127.0.0.1", True, True), ("127.0.0.1", False, False), ("wrong.example", True, False)],
)
def test_the_server_must_show_a_certificate_that_is_right(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer, host: str, is_trusted: bool, is_accepted: bool
) -> None:
    chain, context = certificate(tmp_path, host)
    with FakeBroker((), tls=context) as secure:
        settings = {"KITE_WS_URL": secure.ws_url} | ({"SSL_CERT_FILE": str(chain)} if is_trusted else {})
        with running_connector(tmp_path / "connector", broker, valkey, **settings) as connector:
            if is_accepted:
                wait_until_subscribed(secure, 1)
            else:
                wait_until(lambda: connector.logged.count("connection ended") >= 2, "two failures")
                assert ("VerificationError" if is_trusted else "certificate verify failed") in connector.logged
                assert secure.attempts == [], "the token must not be sent before the server is known"


def test_other_instruments_the_next_day_make_a_new_connection(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    """At 08:27 the dump is that of the day before; from 08:30 on there is a new one."""
    clock = new_stepped_clock(tmp_path / "clock", NINE_IST_MS - 33 * 60_000)
    with running_connector(tmp_path / "connector", broker, valkey, MARKET_CLOCK=str(clock)) as connector:
        wait_until_subscribed(broker, 1)
        assert broker.connections[0].subscribed()[0] == AAA
        changed = 7777 * 256 + 1
        broker.rows[0] = stock(changed, "AAA")
        clock.step_to(NINE_IST_MS - 29 * 60_000)
        wait_until_subscribed(broker, 2)
        assert broker.connections[1].subscribed()[0] == changed
        reason = "the instruments changed"
        wait_until(lambda: reason in [mark.get("reason") for mark in connector.marks()], "the mark of the change")
