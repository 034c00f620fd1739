"""Runs in a process of its own, with Zerodha's clients as they come: prints what they got, as JSON.

python official_clients.py rest PORT
python official_clients.py ticker PORT TOKEN '{"full": [tokens], "quote": [tokens]}' '{"token": least ticks}'
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from kiteconnect import KiteConnect, KiteTicker, exceptions

LONGEST_SECONDS = 120


def _plain(value: Any) -> Any:
    """Naive local times (this process runs in UTC) as epoch seconds."""
    naive = isinstance(value, datetime) and value.tzinfo is None
    return round(value.replace(tzinfo=UTC).timestamp()) if naive else str(value)


def rest(port: int) -> dict[str, Any]:
    kite = KiteConnect("key", root=f"http://127.0.0.1:{port}", timeout=LONGEST_SECONDS)
    try:
        kite.profile()
        refused = ""
    except exceptions.TokenException as error:
        refused = f"{error.code} {error}"
    session = kite.generate_session("demo-request", "demo-secret")
    answers: dict[str, Any] = {
        "refused": refused,
        "session": session,
        "profile": kite.profile(),
        "instruments": kite.instruments(),
        "nfo": kite.instruments("NFO"),
        "quote": kite.quote("NSE:INFY", "NSE:NIFTY 50"),
    }
    answers["minute"] = kite.historical_data(408065, "2026-11-19 09:15:00", "2026-11-20 15:30:00", "minute")
    day = (datetime(2026, 10, 1), datetime(2026, 11, 20))  # noqa: DTZ001
    answers["day"] = kite.historical_data(408065, *day, "day", oi=True)
    try:
        kite.historical_data(408065, "2026-01-01 00:00:00", "2026-11-20 00:00:00", "minute")
    except exceptions.InputException as error:
        answers["too long"] = f"{error.code} {error}"
    answers["too often"] = too_often(kite)
    time.sleep(1.05)  # the broker's limit of one quote a second is in real time
    answers["ohlc"] = kite.ohlc(["NSE:INFY"])
    time.sleep(1.05)
    answers["ltp"] = kite.ltp(["NSE:INFY"])
    return answers


def too_often(kite: KiteConnect) -> str:
    """A refusal, when as many ask as can at once, again and again until they are fast enough for one; or ''."""

    def ask(_: int) -> str:
        try:
            kite.historical_data(408065, "2026-11-20 09:15:00", "2026-11-20 09:16:00", "minute")
        except exceptions.NetworkException as error:
            return f"{error.code} {error}"
        return ""

    deadline, refused = time.monotonic() + LONGEST_SECONDS, ""
    with ThreadPoolExecutor(max_workers=8) as pool:
        while not refused and time.monotonic() < deadline:
            refused = max(pool.map(ask, range(24)))
    return refused


def ticker(port: int, token: str, modes: dict[str, list[int]], wanted: dict[str, int]) -> dict[str, Any]:
    """Until there are so many ticks of each token in `wanted`, and an order and a message; or it is closed."""
    found: dict[str, Any] = {"ticks": [], "orders": [], "messages": [], "errors": [], "closes": []}
    client = KiteTicker("key", token, root=f"ws://127.0.0.1:{port}", reconnect_max_tries=2)

    def on_connect(ws: Any, _: Any) -> None:
        for mode, tokens in modes.items():
            ws.subscribe(tokens)
            ws.set_mode(mode, tokens)

    client.on_connect = on_connect
    client.on_ticks = lambda _, ticks: found["ticks"].extend(ticks)
    client.on_order_update = lambda _, order: found["orders"].append(order)
    client.on_message = lambda _, payload, is_binary: (
        None if is_binary else found["messages"].append(payload.decode())
    )
    client.on_error = lambda _, code, reason: found["errors"].append([code, reason])
    client.on_close = lambda _, code, reason: found["closes"].append([code, reason])
    client.connect(threaded=True)
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline and not found["closes"] and not _has_enough(found, wanted):
        time.sleep(0.05)
    client.stop_retry()
    client.close()
    return found


def _has_enough(found: dict[str, Any], wanted: dict[str, int]) -> bool:
    counts = Counter(str(tick["instrument_token"]) for tick in list(found["ticks"]))
    return bool(found["orders"] and found["messages"]) and all(
        counts[fault] >= least for fault, least in wanted.items()
    )


def main() -> None:
    if sys.argv[1] == "rest":
        answer = rest(int(sys.argv[2]))
    else:
        answer = ticker(int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]), json.loads(sys.argv[5]))
    sys.stdout.write(json.dumps(answer, default=_plain))


if __name__ == "__main__":
    main()
