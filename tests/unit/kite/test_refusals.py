"""What the broker's refusals are taken for, and what people read of them."""

from __future__ import annotations

import doctest
import json

import pytest

import utils.kite.refusals
from utils.kite.refusals import BrokerError, Cause, read_broker_error, shown


def _answer(error_type: str, message: str) -> bytes:
    return json.dumps({"status": "error", "message": message, "error_type": error_type, "data": None}).encode()


@pytest.mark.parametrize(
    ("status", "error_type", "message", "cause"),
    [
        (403, "TokenException", "Incorrect `api_key` or `access_token`.", Cause.TOKEN),
        (403, "TokenException", "Token is invalid or has expired.", Cause.TOKEN),
        (400, "TokenException", "Invalid session credentials", Cause.TOKEN),
        (403, "PermissionException", "Insufficient permission for that call.", Cause.PERMISSION),
        (400, "PermissionException", "", Cause.PERMISSION),
        (403, "GeneralException", "The user is not enabled for the app.", Cause.USER),
        (403, "TokenException", "Invalid `checksum`.", Cause.CHECKSUM),
        (400, "InputException", "Invalid `api_key`.", Cause.KEY),
        (429, "NetworkException", "Too many requests", Cause.THROTTLED),
        (429, "", "", Cause.THROTTLED),
        (503, "NetworkException", "Gateway timed out", Cause.SERVERS),
        (502, "DataException", "", Cause.SERVERS),
        (403, "", "Authentication failed.", Cause.UNCLEAR),
        (403, "UserException", "The account is blocked.", Cause.UNKNOWN),
        (400, "InputException", "invalid token", Cause.UNKNOWN),
        (404, "GeneralException", "Route not found", Cause.UNKNOWN),
    ],
)
def test_type_and_message_decide_the_cause(status: int, error_type: str, message: str, cause: Cause) -> None:
    error = read_broker_error(status, _answer(error_type, message))
    assert error.cause is cause
    assert message in error.sentence
    assert (cause.sentence in error.sentence) and error.sentence.startswith(cause.sentence)


def test_of_all_causes_only_a_login_cures_waits_for_a_login() -> None:
    assert "login" in Cause.TOKEN.sentence and Cause.TOKEN.wait_seconds is None
    assert "does not help" in Cause.PERMISSION.sentence
    assert Cause.PERMISSION.wait_seconds is not None and Cause.PERMISSION.wait_seconds >= 300
    assert read_broker_error(404, b"nothing").sentence == "HTTP 404"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>503</html>", b"{", b"[1]", b'{"error_type": 4, "message": ["x"]}', b"\xff\xfe{", b"{" * 100_000],
)
def test_what_is_not_the_brokers_json_leaves_the_status(body: bytes) -> None:
    assert read_broker_error(503, body) == BrokerError(503)


@pytest.mark.parametrize(
    ("title", "cause"),
    [
        ("Access denied | api.kite.trade used Cloudflare to restrict access", Cause.BLOCKED),
        ("Attention Required! | Cloudflare", Cause.BLOCKED),
        ("403 Forbidden", Cause.UNCLEAR),
        ("Zugang &amp; mehr", Cause.UNCLEAR),
    ],
)
def test_a_page_in_the_brokers_place_is_named_by_its_title(title: str, cause: Cause) -> None:
    """A proxy answers 403 as well: neither the token nor the app's plan is at fault then."""
    error = read_broker_error(403, f"<!DOCTYPE html><html><head>\n<TITLE>{title}\n</TITLE> {{}}".encode())
    assert error.cause is cause
    assert f'HTTP 403: a web page, "{title.replace("&amp;", "&")}"' in error.sentence


def test_a_page_with_another_status_keeps_that_cause() -> None:
    assert read_broker_error(503, b"<title>Blocked | Cloudflare</title>").cause is Cause.SERVERS
    assert read_broker_error(404, b"<title>Blocked | Cloudflare</title>").cause is Cause.UNKNOWN


def test_an_answer_in_chunks_is_read() -> None:
    body = b"3f\r\n" + _answer("PermissionException", "Insufficient permission") + b"\r\n0\r\n\r\n"
    assert read_broker_error(403, body).cause is Cause.PERMISSION


def test_a_long_text_is_cut_at_a_word_and_shows_no_token() -> None:
    token = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF"
    text = f"The session {token} of access_token=short1&x\nis over " + "and over again " * 30
    text_shown = shown(text, ["over"])
    assert token not in text_shown
    assert "short1" not in text_shown
    assert text_shown.startswith("The session *** of access_token=***&x is *** and *** again")
    assert len(text_shown) <= 161
    assert text_shown.endswith((" and…", " again…", " ***…"))
    assert shown("x" * 15 + " end") == "x" * 15 + " end"


def test_a_short_secret_is_masked_as_a_word_only() -> None:
    assert shown("the token t is not right", ["t"]) == "the token *** is not right"
    assert shown("xsecret1x is", ["secret1"]) == "x***x is"


def test_the_examples_run() -> None:
    assert doctest.testmod(utils.kite.refusals).failed == 0
