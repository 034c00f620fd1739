"""The broker's text frames that are meant for people: `{"type": "error", "data": "…"}` and `"message"`.

Order updates and what else comes as text are not read here (Kite Connect v3, "WebSocket streaming").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from utils.kite.refusals import shown

ERROR, MESSAGE = "error", "message"


@dataclass(frozen=True, slots=True)
class Notice:
    """One text of the broker's, for people."""

    kind: str
    text: str


def read_notice(payload: bytes, secrets: Sequence[str] = ()) -> Notice | None:
    """The notice in a text frame; None when it is of another type, or none that can be read.

    >>> read_notice(b'{"type": "error", "data": "Too many instruments"}')
    Notice(kind='error', text='Too many instruments')
    >>> read_notice(b'{"type": "order", "data": {}}')
    """
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("type") not in (ERROR, MESSAGE):
        return None
    return Notice(content["type"], shown(_text(content.get("data")), secrets) or "(no text)")


def _text(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
