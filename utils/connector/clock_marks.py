"""When the connector has to say what time it is, because the socket does not."""

from __future__ import annotations


def is_mark_due(now_ms: int, last_frame_ms: int, last_mark_ms: int) -> bool:
    """Whether a whole second of market time went by without a frame, and nothing was said in this one yet."""
    second = now_ms // 1000
    return last_frame_ms // 1000 < second - 1 and last_mark_ms // 1000 < second


def look_seconds(speed: float) -> float:
    """How often to look, in real seconds: a few times a market second, and at most 50 times a second."""
    return max(0.02, min(0.1, 0.25 / speed))
