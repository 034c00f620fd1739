"""The broker's two shapes of a JSON answer (Kite Connect v3, "Response structure")."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web


def success(data: Any) -> web.Response:
    return _reply(200, {"status": "success", "data": data})


def refusal(status: int, error_type: str, message: str) -> web.Response:
    return _reply(status, {"status": "error", "message": message, "data": None, "error_type": error_type})


def _reply(status: int, content: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
