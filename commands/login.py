"""`manage.py login`: the daily login, which Zerodha wants done by a person, in the fewest steps.

The redirect carries a request_token (single use, good for minutes); it is exchanged for the access token, which is
checked with /user/profile and stored where the running connector takes it up (Kite Connect documentation, "User").
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import click
import requests
from kiteconnect import KiteConnect
from kiteconnect.exceptions import DataException, KiteException

from commands.shared.console import SettingsFault, load_settings
from utils.kite.refusals import BrokerError, Cause, shown
from utils.kite.token_file import store_token
from utils.runtime.settings import Settings

_TOKEN = re.compile(r"[A-Za-z0-9]{6,64}")
_FIELD = re.compile(r"\b(request_token|status)[\"']?\s*[=:]\s*[\"']?([^\s&#?<>()\[\]\"'`,;]*)", re.IGNORECASE)
_ESCAPES = {r"\u0026": "&", r"\u003d": "=", "\\": ""}  # JSON's, and what a shell puts before ? & =
_WRAPPED = re.compile(r"\s*[\r\n]+\s*")
_TIMES_QUOTED = 2  # an address in an address in an address
# What comes along unseen (a chat's zero-width blanks, a terminal's paste marks), and the end of a log line.
_UNSEEN = re.compile("\x1b\\[20[01]~|[\u00ad\u200b-\u200f\u2060\ufeff]|\\sHTTP/\\d.*")
_AROUND = "<>()[]{}'\"`“”‘’,;."  # what mails, chats and notes put around an address
_TIMEOUT_SECONDS = 15
_UNREADABLE = ("Couldn't parse", "Unknown Content-Type")  # of the client, before the whole body of an answer
_NOT_PERMITTED = "this is not permitted to the Kite app: see its plan and its user at developers.kite.trade"
# Another login cures none of these.
_OF_THE_APP = {cause: cause.sentence for cause in (Cause.USER, Cause.CHECKSUM, Cause.KEY)} | {
    Cause.PERMISSION: _NOT_PERMITTED
}


class LoginError(click.ClickException):
    """Why there is no new token: one sentence."""


def read_request_token(pasted: str) -> str:
    """The request_token of a pasted redirect URL, or the token itself. LoginError for anything else."""
    text = _plain_text(pasted)
    if _TOKEN.fullmatch(text):
        return text
    fields = _fields(text)
    status = dict(fields).get("status", "success")
    if status != "success":
        raise LoginError(f"The redirect has status={status!r}, not success: log in again with the URL above.")
    found = {unquote(value).strip().rstrip(_AROUND + "/") for name, value in fields if name == "request_token"}
    if len(found) > 1:
        raise LoginError("Two different request_tokens in what was pasted: paste the address of the last login only.")
    token = found.pop() if found else ""
    if not _TOKEN.fullmatch(token):
        raise LoginError(
            "No request_token in what was pasted: paste the whole address that the browser was sent to after the "
            "login (it contains request_token=…), or the request_token alone."
        )
    return token


def _plain_text(pasted: str) -> str:
    """In one line, without what comes along; a wrapped line continues in the next."""
    text = html.unescape(pasted)
    for escape, meant in _ESCAPES.items():
        text = text.replace(escape, meant)
    return _WRAPPED.sub("", _UNSEEN.sub("", text).strip()).strip(_AROUND + " ")


def _fields(text: str) -> list[tuple[str, str]]:
    """`request_token` and `status`, as often as they are there; an address within another one is quoted."""
    for _ in range(_TIMES_QUOTED):
        if _FIELD.search(text):
            break
        text = unquote(text)
    return [(name.lower(), value) for name, value in _FIELD.findall(text)]


@click.command()
@click.argument("redirect", required=False)
def command(redirect: str | None) -> None:
    """Fetch today's access token: log in with the URL shown, then paste the address you were sent to.

    REDIRECT is that address, or the request_token in it; without it, it is asked for (or read from stdin).
    """
    settings = load_settings()
    _check_credentials(settings)
    kite = KiteConnect(
        settings.api_key.get_secret_value(), root=settings.kite_api_url.rstrip("/"), timeout=_TIMEOUT_SECONDS
    )
    click.echo(f"Log in here:\n\n    {kite.login_url()}\n")
    request_token = read_request_token(redirect or _ask())
    session = _exchange(kite, request_token, settings)
    _check_user(_profile(kite, settings), settings)
    _store(settings, str(session["access_token"]))


def _check_credentials(settings: Settings) -> None:
    for name, secret in (("API_KEY", settings.api_key), ("API_SECRET", settings.api_secret)):
        if not secret.get_secret_value():
            raise SettingsFault(f"{name} is empty: copy it from https://developers.kite.trade/apps into .env.")


def _ask() -> str:
    try:
        return str(click.prompt("Then paste the address you were sent to"))
    except click.Abort:
        raise LoginError("Nothing was pasted: run 'python manage.py login' again when you have logged in.") from None


def _exchange(kite: Any, request_token: str, settings: Settings) -> dict[str, Any]:
    refused = (
        "Zerodha refused the request_token ({reason}): it works once and for a few minutes, so log in again and "
        "paste the new address; if that repeats, check API_KEY and API_SECRET."
    )
    secret = settings.api_secret.get_secret_value()
    session = _ask_kite(lambda: kite.generate_session(request_token, api_secret=secret), refused, settings)
    if not session.get("access_token"):
        raise _not_kite(settings, "no access_token in the answer")
    return session


def _profile(kite: Any, settings: Settings) -> dict[str, Any]:
    refused = "The new token was not accepted by /user/profile ({reason}), so it was not stored: log in again."
    return _ask_kite(kite.profile, refused, settings)


def _ask_kite(call: Callable[[], Any], refused: str, settings: Settings) -> dict[str, Any]:
    """The call's answer. LoginError in one sentence; what the server wrote is only shown when it is Kite's own error.

    The client puts whole response bodies, with tokens in them, into its DataException.
    """
    try:
        answer = call()
    except KiteException as error:
        raise _refusal(error, refused, settings) from None
    except requests.RequestException as error:
        raise LoginError(
            f"{settings.kite_api_url} cannot be reached ({type(error).__name__}): nothing was stored; check the "
            "connection and KITE_API_URL."
        ) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _not_kite(settings, type(error).__name__) from None
    if not isinstance(answer, dict):
        raise _not_kite(settings, f"{type(answer).__name__} instead of an object")
    return answer


def _refusal(error: KiteException, refused: str, settings: Settings) -> LoginError:
    """By its cause: the app's own, the broker's servers, or else what `refused` gives for the login."""
    if isinstance(error, DataException) and str(error).startswith(_UNREADABLE):
        return _not_kite(settings, f"{type(error).__name__} {error.code}")
    secret = settings.api_secret.get_secret_value()
    found = BrokerError(error.code, type(error).__name__, shown(str(error), [secret]))
    if found.cause in _OF_THE_APP:
        return LoginError(f"Zerodha refuses the login: {_OF_THE_APP[found.cause]} ({found}); nothing was stored.")
    if found.cause in (Cause.THROTTLED, Cause.SERVERS):
        return LoginError(
            f"Zerodha does not log anybody in now: {found.sentence}; nothing was stored, try again soon."
        )
    return LoginError(refused.format(reason=found))


def _not_kite(settings: Settings, reason: str) -> LoginError:
    return LoginError(
        f"{settings.kite_api_url} did not answer as Kite does ({reason}): nothing was stored; try again in a minute "
        "and check KITE_API_URL."
    )


def _check_user(profile: dict[str, Any], settings: Settings) -> None:
    found = str(profile.get("user_id", ""))
    if settings.user_id and found != settings.user_id:
        raise LoginError(
            f"The login is of user {found}, but USER_ID is {settings.user_id}: nothing was stored; log in as "
            f"{settings.user_id} or correct USER_ID."
        )
    click.echo(f"Logged in as {profile.get('user_name') or found} ({found}).")


def _store(settings: Settings, token: str) -> None:
    path = settings.access_token_file
    try:
        store_token(path, token)
    except OSError as error:
        raise LoginError(
            f"ACCESS_TOKEN_FILE: {path} cannot be written ({error.strerror}): name a file in a folder that can."
        ) from None
    click.echo(f"The token is stored in {path}; a running connector takes it up by itself.")
