"""Over TLS nothing secret is sent before the server has shown who it is. More of it is in test_connect_refusals."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.contract.test_connect import ROWS, wait_until_subscribed
from tests.shared.connector_process import running_connector, wait_until
from tests.shared.fake_broker import FakeBroker
from tests.shared.servers import ValkeyServer

ROOT = Path(__file__).resolve().parents[2]
DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = self._builder(self._name, self._key, DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(_pem(built.sign(self._key, hashes.SHA256())))

    def server(self, host: str, valid_for: dt.timedelta = DAY) -> ssl.SSLContext:
        """For 127.0.0.1 or another host; `valid_for` below 0 has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        alternative = x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        built = self._builder(name, key, valid_for).add_extension(
            x509.SubjectAlternativeName([alternative]), critical=False
        )
        path = self._directory / f"{host}-{valid_for.days}.pem"
        path.write_bytes(_pem(built.sign(self._key, hashes.SHA256())) + _key_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, valid_for: dt.timedelta
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * DAY)
            .not_valid_after(now + valid_for)
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


@pytest.fixture
def trusted(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "trusted")


def server_context(case: str, trusted: Authority, directory: Path) -> ssl.SSLContext:
    if case == "another authority":
        return Authority(directory, "another").server("127.0.0.1")
    if case == "another host":
        return trusted.server("wrong.example")
    return trusted.server("127.0.0.1", -DAY if case == "expired" else DAY)


CASES = ["right", "expired", "another authority", "another host"]


@pytest.mark.parametrize("case", CASES)
def test_the_socket_sends_the_token_to_the_right_server_only(
    tmp_path: Path, trusted: Authority, valkey: ValkeyServer, case: str
) -> None:
    with FakeBroker(ROWS) as plain, FakeBroker((), tls=server_context(case, trusted, tmp_path)) as secure:
        settings = {"KITE_WS_URL": secure.ws_url, "SSL_CERT_FILE": str(trusted.path)}
        with running_connector(tmp_path / "connector", plain, valkey, **settings) as connector:
            if case == "right":
                wait_until_subscribed(secure, 1)
                return
            wait_until(lambda: connector.logged.count("connection ended") >= 2, "two failures")
            assert secure.attempts == []
            assert "token-one" not in connector.logged


@pytest.mark.parametrize("case", CASES)
def test_the_instruments_are_asked_of_the_right_server_only(
    tmp_path: Path, trusted: Authority, valkey: ValkeyServer, case: str
) -> None:
    with FakeBroker(ROWS) as plain, FakeBroker(ROWS, tls=server_context(case, trusted, tmp_path)) as secure:
        settings = {"KITE_API_URL": secure.api_url, "REQUESTS_CA_BUNDLE": str(trusted.path)}
        with running_connector(tmp_path / "connector", plain, valkey, **settings) as connector:
            if case == "right":
                wait_until_subscribed(plain, 1)
                return
            wait_until(lambda: "did not give the instruments" in connector.logged, "the failure")
            assert secure.dumps_served == 0
            assert "token-one" not in connector.logged


@pytest.mark.parametrize("case", CASES)
def test_a_login_is_named_to_the_right_server_only(tmp_path: Path, trusted: Authority, case: str) -> None:
    """The small broker knows no login: the right one answers that there is nothing of that name."""
    with FakeBroker((), tls=server_context(case, trusted, tmp_path)) as secure:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "login", "requesttoken3"],
            env={
                "PATH": os.environ["PATH"],
                "API_KEY": "somekey1",
                "API_SECRET": "somesecret2",
                "KITE_API_URL": secure.api_url,
                "REQUESTS_CA_BUNDLE": str(trusted.path),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert ("did not answer as Kite does" in done.stderr) == (case == "right"), done.stderr
    assert ("cannot be reached (SSLError)" in done.stderr) == (case != "right"), done.stderr
    assert "somesecret2" not in done.stdout + done.stderr
    assert "requesttoken3" not in done.stderr
