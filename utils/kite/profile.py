"""Asks the broker's `/user/profile` whether an access token is good: `/instruments` answers without one, too."""

from __future__ import annotations

from collections.abc import Callable

import requests

from utils.kite.refusals import Cause, read_broker_error

TIMEOUT_SECONDS = (5.0, 10.0)

OF_THE_LOGIN = (Cause.TOKEN, Cause.PERMISSION, Cause.USER, Cause.KEY)

AskWhy = Callable[[str, Callable[[Cause, str], None]], None]


def why_refused(api_url: str, api_key: str, token: str) -> tuple[Cause, str]:
    """Why a socket may have refused a token with a bare 403: the cause, and what the profile's answer was.

    PERMISSION when the profile accepts the token; UNCLEAR when it cannot be asked.
    """
    headers = {"X-Kite-Version": "3", "Authorization": f"token {api_key}:{token}"}
    try:
        answer = requests.get(f"{api_url.rstrip('/')}/user/profile", headers=headers, timeout=TIMEOUT_SECONDS)
        if answer.ok:
            return (Cause.PERMISSION, "the login is accepted") if _is_profile(answer) else (Cause.UNCLEAR, "")
    except requests.RequestException as fault:
        return Cause.UNCLEAR, type(fault).__name__
    refusal = read_broker_error(answer.status_code, answer.content, [token])
    return (refusal.cause if refusal.cause in OF_THE_LOGIN else Cause.UNCLEAR), str(refusal)


def _is_profile(answer: requests.Response) -> bool:
    try:
        return bool(answer.json()["data"]["user_id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
