"""What people paste after the login: the redirect in the forms that browsers, mails and chats give it."""

from __future__ import annotations

import pytest

from commands.login import LoginError, read_request_token

TOKEN = "Qw3rTy7uIoP9aSdF1gHjK2lZxC4vBnM5"


@pytest.mark.parametrize(
    "pasted",
    [
        TOKEN,
        f"  '{TOKEN}'\n",
        f"<{TOKEN}>",
        f"request_token={TOKEN}",
        f"?request_token={TOKEN}&action=login",
        f"https://127.0.0.1/?action=login&type=login&status=success&request_token={TOKEN}",
        f"127.0.0.1/?status=success&request_token={TOKEN}",
        f"https://127.0.0.1/?request_token={TOKEN}&status=success#",
        f"https://127.0.0.1/?status=success&request_token={TOKEN}/",
        f"https://127.0.0.1/?action=login&amp;status=success&amp;request_token={TOKEN}",
        f"http://localhost:3000/#/callback?status=success&request_token={TOKEN}",
        f"http://localhost:3000/#request_token={TOKEN}&status=success",
        f"https://127.0.0.1/?action=login&status=success&\n request_token={TOKEN}",
        f"https://127.0.0.1/?status=success&request_token={TOKEN[:9]}\r\n{TOKEN[9:]}",
        f"<https://127.0.0.1/?status=success&request_token={TOKEN}>",
        f"(https://127.0.0.1/?status=success&request_token={TOKEN}).",
        f"[log in](https://127.0.0.1/?status=success&request_token={TOKEN})",
        f"“https://127.0.0.1/?status=success&request_token={TOKEN}”,",
        f"https://safe.example/?url=https%3A%2F%2F127.0.0.1%2F%3Fstatus%3Dsuccess%26request_token%3D{TOKEN}",
        f'127.0.0.1 - - [27/Nov/2026 08:01:02] "GET /?request_token={TOKEN}&status=success HTTP/1.1" 200 -',
        f"GET /?action=login&status=success&request_token={TOKEN} HTTP/1.1",
        f"\u200bhttps://127.0.0.1/?request_token={TOKEN}\ufeff",
        f"\x1b[200~https://127.0.0.1/?status=success&request_token={TOKEN}\x1b[201~",
        f'{{"status": "success", "request_token": "{TOKEN}"}}',
        f"request_token: {TOKEN}",
        f"request_token = {TOKEN}",
        f"https://127.0.0.1/?REQUEST_TOKEN={TOKEN}&STATUS=success",
        f"https://127.0.0.1/?status=success;request_token={TOKEN}",
        f"https://127.0.0.1/?request_token={TOKEN}%20",
        # a shell's escapes, and JSON's
        rf"https://127.0.0.1/\?status\=success\&request_token\={TOKEN}\&action\=login",
        rf"https://127.0.0.1/?status=success\u0026request_token\u003d{TOKEN}\u0026action=login",
        f"https://safe.example/?url=https%253A%252F%252F127.0.0.1%252F%253Frequest_token%253D{TOKEN}",
        # what the browser shows where nobody listens
        f"This site can’t be reached https://127.0.0.1/?request_token={TOKEN}&status=success refused to connect.",
        f"https://127.0.0.1/?status=success&request_token={TOKEN} refused to connect.",
    ],
)
def test_the_token_is_found(pasted: str) -> None:
    assert read_request_token(pasted) == TOKEN


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("https://127.0.0.1/?status=cancelled", "status='cancelled'"),
        ("https://127.0.0.1/#status=cancelled&amp;x=1", "status='cancelled'"),
        ("https://kite.zerodha.com/connect/login?api_key=abcdef123&v=3", "No request_token"),
        (f"https://127.0.0.1/?request_token={TOKEN[:20]}-{TOKEN[20:]}", "No request_token"),
        (f"?request_token={TOKEN} and ?request_token=another1", "Two different request_tokens"),
        ("request_token=", "No request_token"),
        (f"my token is {TOKEN}", "No request_token"),
        ("", "No request_token"),
    ],
)
def test_what_holds_no_token_is_refused_in_a_sentence(pasted: str, sentence: str) -> None:
    with pytest.raises(LoginError) as caught:
        read_request_token(pasted)
    assert sentence in caught.value.message
