"""The broker's REST: login, profile, instruments, history. Errors are the broker's own (KITE: REST)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web

from simulator.access import REQUEST_TOKEN, RateLimit
from simulator.exchange import Exchange, Options
from simulator.history import INTERVALS, Interval, as_rows
from simulator.replies import refusal, success
from simulator.ticker import EXCHANGE
from utils.market.ist import DAY_MS, IST

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LIMITS = web.AppKey("limits", dict[str, RateLimit])
NEEDS_NO_TOKEN = ("/session/token", "/instruments", "/connect/login")
USER_ID = "DEMO01"


class _InputError(ValueError):
    """A bad request; the message goes into an InputException."""


def limits(options: Options) -> dict[str, RateLimit]:
    """Rate limits by kind of request, in real time (Kite Connect v3, "Exceptions and errors")."""
    history, others = RateLimit(options.history_per_second), RateLimit(options.others_per_second)
    return {"historical": history, "quote": RateLimit(1), "other": others}


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Checks the token and the rate limits of every REST path."""
    path = request.path
    if path == "/" or path.startswith("/simulator/"):
        return await handler(request)
    open_to_all = path in NEEDS_NO_TOKEN or (path.startswith("/instruments/") and "historical" not in path)
    if not open_to_all and not request.app[EXCHANGE].access.is_valid_header(request.headers.get("Authorization", "")):
        return refusal(403, "TokenException", "Incorrect `api_key` or `access_token`.")
    kind = "historical" if "/historical/" in path else "quote" if path.startswith("/quote") else "other"
    if not request.app[LIMITS][kind].admits(time.monotonic()):
        return refusal(429, "NetworkException", "Too many requests")
    try:
        return await handler(request)
    except _InputError as error:
        return refusal(400, "InputException", str(error))


async def login(request: web.Request) -> web.Response:
    """The broker's login page, which here accepts everyone."""
    if request.query.get("v") != "3" or not request.query.get("api_key"):
        return refusal(400, "InputException", "Give v=3 and api_key.")
    target = f"/simulator/logged-in?request_token={REQUEST_TOKEN}&action=login&status=success"
    return web.Response(status=302, headers={"Location": target})


async def logged_in(request: web.Request) -> web.Response:
    return web.Response(text=f"Logged in: the request_token is {request.query.get('request_token', '')}\n")


async def session_token(request: web.Request) -> web.Response:
    form = await request.post()
    api_key, checksum = str(form.get("api_key", "")), str(form.get("checksum", ""))
    token = request.app[EXCHANGE].access.exchange(api_key, str(form.get("request_token", "")), checksum)
    if token is None:
        return refusal(403, "TokenException", "Token is invalid or has expired.")
    login_time = _now(request.app[EXCHANGE]).strftime("%Y-%m-%d %H:%M:%S")
    secrets = {"access_token": token, "refresh_token": "", "public_token": "public", "enctoken": ""}
    return success({**_profile(), **secrets, "api_key": api_key, "login_time": login_time})


async def invalidate_token(request: web.Request) -> web.Response:
    request.app[EXCHANGE].access.tokens.discard(request.query.get("access_token", ""))
    return success(data=True)


async def profile(_: web.Request) -> web.Response:
    return success(_profile())


def _profile() -> dict[str, object]:
    return {
        "user_id": USER_ID,
        "user_name": "Demo User",
        "user_shortname": "Demo",
        "user_type": "individual",
        "email": "demo@example.com",
        "broker": "ZERODHA",
        "exchanges": ["NSE", "BSE", "NFO", "BFO", "CDS", "MCX"],
        "products": ["CNC", "NRML", "MIS"],
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "physical"},
    }


async def instruments(request: web.Request) -> web.Response:
    """The full dump, or one exchange's, as CSV."""
    body = request.app[EXCHANGE].universe.dump(request.match_info.get("exchange", ""))
    response = web.Response(body=body, content_type="text/csv")
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def historical(request: web.Request) -> web.Response:
    """`/instruments/historical/TOKEN/INTERVAL?from&to&continuous&oi`."""
    exchange = request.app[EXCHANGE]
    interval = INTERVALS.get(request.match_info["interval"])
    if interval is None:
        raise _InputError("invalid interval")
    row = _row(exchange, request.match_info["token"])
    from_ms, to_ms = (_moment_ms(request, name) for name in ("from", "to"))
    _check_span(interval, from_ms, to_ms)
    bars = exchange.day.history.candles(row, interval, from_ms, to_ms, exchange.clock.now_ms())
    with_oi = request.query.get("oi", "0") == "1"
    return success({"candles": as_rows(bars, int(exchange.universe.divisor[row]), with_oi)})


def _row(exchange: Exchange, token: str) -> int:
    row = exchange.row_of_token.get(int(token)) if token.isascii() and token.isdigit() else None
    if row is None:
        raise _InputError("invalid token")
    return row


def _moment_ms(request: web.Request, name: str) -> int:
    """`yyyy-mm-dd hh:mm:ss` or a date, in IST."""
    try:
        moment = datetime.fromisoformat(request.query.get(name, ""))
    except ValueError:
        raise _InputError(f"invalid {name} date") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=IST)).timestamp() * 1000)


def _check_span(interval: Interval, from_ms: int, to_ms: int) -> None:
    if from_ms > to_ms:
        raise _InputError("from date cannot be after to date")
    if to_ms - from_ms > interval.most_days * DAY_MS + DAY_MS:
        raise _InputError(f"interval exceeds max limit: {interval.most_days} days")


def _now(exchange: Exchange) -> datetime:
    return datetime.fromtimestamp(exchange.clock.now_ms() / 1000, IST)
