"""`manage.py login` over real HTTP, by the unmodified client, against a small server of the test's own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.shared.console_here import manage_here
from tests.shared.pages import Example, example_text
from tests.shared.servers import free_port

_ROOT = Path(__file__).resolve().parents[2]
_KEY, _SECRET, _REQUEST, _ACCESS = "somekey1", "somesecret2", "requesttoken3", "accesstoken4"
_CHECKSUM = hashlib.sha256((_KEY + _REQUEST + _SECRET).encode()).hexdigest()
_REDIRECT = f"https://127.0.0.1/?action=login&type=login&status=success&request_token={_REQUEST}"


class _Kite(ThreadingHTTPServer):
    """Answers /session/token and /user/profile as the documentation shows; `mood` makes it fail."""

    def __init__(self, mood: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mood = mood


class _Handler(BaseHTTPRequestHandler):
    server: _Kite

    def log_message(self, format: str, *args: object) -> None: ...

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        right = form.get("api_key") == [_KEY] and form.get("checksum") == [_CHECKSUM]
        if self.server.mood.startswith("{"):
            self._answer(403, self.server.mood.encode(), "application/json")
        elif self.server.mood == "html":
            self._answer(503, f"<html>{_ACCESS}</html>".encode(), "text/html")
        elif self.server.mood == "no data":
            self._json(200, {"status": "success"})
        elif self.path == "/session/token" and right:
            self._json(
                200, {"status": "success", "data": {"access_token": _ACCESS, "login_time": "2026-11-20 08:31:00"}}
            )
        else:
            self._error(403, "Token is invalid or has expired.")

    def do_GET(self) -> None:
        right = self.headers["Authorization"] == f"token {_KEY}:{_ACCESS}" and self.headers["X-Kite-Version"] == "3"
        if self.path == "/user/profile" and right and self.server.mood != "bad token":
            self._json(200, {"status": "success", "data": {"user_id": "AB1234", "user_name": "Asha Rao"}})
        else:
            self._error(403, "Incorrect `api_key` or `access_token`.")

    def _error(self, code: int, message: str) -> None:
        self._json(code, {"status": "error", "message": message, "error_type": "TokenException", "data": None})

    def _json(self, code: int, content: dict[str, object]) -> None:
        self._answer(code, json.dumps(content).encode(), "application/json")

    def _answer(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _kite(mood: str = "") -> Iterator[str]:
    with _Kite(mood) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _environment(directory: Path, url: str, settings: dict[str, str]) -> dict[str, str]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"API_KEY": _KEY, "API_SECRET": _SECRET, "KITE_API_URL": url}
    return environment | {"ACCESS_TOKEN_FILE": str(directory / "run" / "access_token"), **settings}


def _login(directory: Path, url: str, *arguments: str, pasted: str = "", **settings: str) -> tuple[int, str]:
    """Exit code and everything printed."""
    done = subprocess.run(
        [sys.executable, str(_ROOT / "manage.py"), "login", *arguments],
        input=pasted, capture_output=True, text=True, cwd=directory, env=_environment(directory, url, settings),
        timeout=60, check=False,
    )  # fmt: skip
    return _without_secrets(done)


def _login_here(directory: Path, url: str, *arguments: str, pasted: str = "", **settings: str) -> tuple[int, str]:
    """The same without a process of its own."""
    environment = _environment(directory, url, settings)
    return _without_secrets(manage_here(["login", *arguments], directory, environment, pasted))


def _without_secrets(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Never may a secret be in what is printed."""
    printed = done.stdout + done.stderr
    assert _ACCESS not in printed
    assert _SECRET not in printed
    assert "Traceback" not in printed
    return done.returncode, printed


@pytest.mark.parametrize("pasted", [_REDIRECT, _REQUEST, f'  "{_REDIRECT}"  '], ids=["url", "token", "quoted"])
@pytest.mark.parametrize("way", ["argument", "stdin"])
def test_the_token_is_stored_for_its_owner_only(tmp_path: Path, pasted: str, way: str) -> None:
    with _kite() as url:
        if way == "argument":
            code, printed = _login(tmp_path, url, pasted)
        else:
            code, printed = _login(tmp_path, url, pasted=pasted + "\n")
    assert code == 0, printed
    assert f"https://kite.zerodha.com/connect/login?api_key={_KEY}&v=3" in printed
    assert "Asha Rao (AB1234)" in printed
    file = tmp_path / "run" / "access_token"
    assert file.read_text().strip() == _ACCESS
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["access_token"]


def test_it_prints_what_the_readme_shows(tmp_path: Path) -> None:
    shown = example_text(Example.LOGIN)
    (pasted,) = re.findall(r"you were sent to: (\S+)", shown)
    with _kite() as url:
        code, printed = _login(tmp_path, url, pasted=pasted.replace("…", _REQUEST) + "\n")
    assert code == 0
    file = str(tmp_path / "run" / "access_token")
    as_printed = printed.replace(_KEY, "…").replace(file, "/data/run/access_token")
    assert as_printed.split() == shown.replace(f" {pasted}\n", " ").split()


def test_an_older_token_is_replaced_at_once(tmp_path: Path) -> None:
    file = tmp_path / "run" / "access_token"
    file.parent.mkdir()
    file.write_text("yesterdays\n")
    file.chmod(0o644)
    with _kite() as url, file.open() as reader:
        assert _login(tmp_path, url, _REQUEST)[0] == 0
        # Who had it open still reads the old one whole: it was replaced, not written over.
        assert reader.read() == "yesterdays\n"
    assert file.read_text().strip() == _ACCESS
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("mood", "pasted", "settings", "sentence"),
    [
        ("", "otherrequest", {}, "refused the request_token (TokenException 403: Token is invalid or has expired.)"),
        ("", "https://127.0.0.1/?status=cancelled", {}, "status='cancelled'"),
        ("", "https://127.0.0.1/?action=login", {}, "No request_token in what was pasted"),
        ("", "", {}, "Nothing was pasted"),
        ("", _REQUEST, {"USER_ID": "ZZ9999"}, "user AB1234, but USER_ID is ZZ9999"),
        ("bad token", _REQUEST, {}, "was not accepted by /user/profile"),
        ("html", _REQUEST, {}, "did not answer as Kite does (DataException"),
        ("no data", _REQUEST, {}, "did not answer as Kite does (KeyError)"),
    ],
)
def test_each_failure_is_one_sentence_and_stores_nothing(
    tmp_path: Path, mood: str, pasted: str, settings: dict[str, str], sentence: str
) -> None:
    with _kite(mood) as url:
        code, printed = _login_here(tmp_path, url, pasted=pasted, **settings)
    assert code == 1
    assert sentence in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error_type", "message", "sentence"),
    [
        ("TokenException", "Invalid `checksum`.", "API_SECRET does not belong to API_KEY"),
        ("InputException", "Invalid `api_key`.", "API_KEY is not that of an active Kite app"),
        (
            "PermissionException",
            "Insufficient permission.",
            "not permitted to the Kite app: see its plan and its user",
        ),
        ("TokenException", "The user is not enabled for the app.", "the app belongs to another Zerodha user"),
        ("NetworkException", "Too many requests", "too many requests or connections"),
        ("UserException", f"Blocked: {_SECRET} " + "word " * 60, "(GeneralException 403: Blocked: *** word"),
    ],
)
def test_a_cause_that_another_login_does_not_cure_is_named(
    tmp_path: Path, error_type: str, message: str, sentence: str
) -> None:
    mood = json.dumps({"status": "error", "message": message, "error_type": error_type, "data": None})
    with _kite(mood) as url:
        code, printed = _login_here(tmp_path, url, _REQUEST)
    assert code == 1
    assert sentence in printed
    assert len(printed) < 600
    assert ("log in again" in printed) is (error_type == "UserException")
    assert not (tmp_path / "run").exists()


def test_a_broker_out_of_reach_is_named(tmp_path: Path) -> None:
    code, printed = _login_here(tmp_path, f"http://127.0.0.1:{free_port()}", _REQUEST)
    assert code == 1
    assert "cannot be reached (ConnectionError)" in printed


@pytest.mark.parametrize("name", ["API_KEY", "API_SECRET"])
def test_a_missing_credential_is_named_before_anything_is_asked(tmp_path: Path, name: str) -> None:
    code, printed = _login_here(tmp_path, "http://127.0.0.1:9", _REQUEST, **{name: ""})
    assert code == 2
    assert f"{name} is empty" in printed


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with _kite() as url:
        code, printed = _login_here(tmp_path, url, _REQUEST, ACCESS_TOKEN_FILE=str(tmp_path / "file" / "token"))
    assert code == 1
    assert "ACCESS_TOKEN_FILE" in printed
