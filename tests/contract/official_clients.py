"""Runs in a process of its own, with Zerodha's clients as they come: prints what they got, as JSON.

python official_clients.py rest PORT
python official_clients.py ticker PORT TOKEN SECONDS '{"full": [tokens], "quote": [tokens], "ltp": [tokens]}'
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from kiteconnect import KiteConnect, KiteTicker, exceptions


def _plain(value: Any) -> Any:
    """Naive local times (this process runs in UTC) as epoch seconds."""
    naive = isinstance(value, datetime) and value.tzinfo is None
    return round(value.replace(tzinfo=UTC).timestamp()) if naive else str(value)


def rest(port: int) -> dict[str, Any]:
    kite = KiteConnect("key", root=f"http://127.0.0.1:{port}")
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
    try:
        for _ in range(4):
            kite.historical_data(408065, "2026-11-19", "2026-11-20", "minute")
    except exceptions.NetworkException as error:
        answers["too often"] = f"{error.code} {error}"
    time.sleep(1.05)  # the broker's limit of one quote a second is in real time
    answers["ohlc"] = kite.ohlc(["NSE:INFY"])
    time.sleep(1.05)
    answers["ltp"] = kite.ltp(["NSE:INFY"])
    return answers


def ticker(port: int, token: str, seconds: float, modes: dict[str, list[int]]) -> dict[str, Any]:
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
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not found["closes"]:
        time.sleep(0.05)
    client.stop_retry()
    client.close()
    return found


def main() -> None:
    if sys.argv[1] == "rest":
        answer = rest(int(sys.argv[2]))
    else:
        answer = ticker(int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), json.loads(sys.argv[5]))
    sys.stdout.write(json.dumps(answer, default=_plain))


if __name__ == "__main__":
    main()
