"""Which candles an outage touched, told without any candle code: from the marks, and from the frames that were lost.

Two plain statements, each in its own direction. A candle that says `complete` has no gap of the feed within it, and
no frame was lost whose trade falls into it. A candle that does not has a gap within it, or so soon behind it that
what was lost there may have been its own: within the grace, and as late as frames came in that session.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.reference.inputs import Entry
from tests.reference.packets import decode, split_frame

GRACE_MS = 3_000
BEGINNING, END = -1, 1 << 62


@dataclass(frozen=True)
class Gap:
    """No frame came after `from_ms`, as the market's clock has it, until the feed was up again at `to_ms`."""

    from_ms: int
    to_ms: int


def gaps_of(received: Iterable[Entry]) -> list[Gap]:
    """The gaps of one shard, the one before the first subscription among them."""
    gaps: list[Gap] = []
    last_frame_ms, down_since = BEGINNING, BEGINNING
    is_up = False
    for one in received:
        mark = json.loads(one.payload)["mark"] if one.kind == "m" else ""
        if one.kind in ("f", "t"):
            last_frame_ms = one.ms
        if mark in ("up", "down", "subscribed") and is_up:
            down_since, is_up = last_frame_ms, False
        if mark == "subscribed":
            gaps.append(Gap(down_since, one.ms))
            last_frame_ms, is_up = one.ms, True
    return gaps if is_up else [*gaps, Gap(down_since, END)]


def worst_lag_ms(received: Iterable[Entry]) -> int:
    """How late the latest frame came: its receipt behind the newest exchange time in it."""
    worst = 0
    for one in received:
        packets = (decode(raw) for raw in split_frame(one.payload)[0]) if one.kind == "f" else ()
        times = [packet.exchange_s for packet in packets if packet is not None and packet.exchange_s]
        if times:
            worst = max(worst, one.ms - 1000 * max(times))
    return worst


def wrongly_said(documents: Iterable[Mapping[str, Any]], gaps: Sequence[Gap], lag_ms: int = 0) -> list[str]:
    """Candles whose `complete` is not what the gaps say, when frames came up to `lag_ms` late."""
    wrong: list[str] = []
    for one in documents:
        start, end = one["t"], one["end_t"]
        within = any(gap.from_ms < end and gap.to_ms > start for gap in gaps)
        near = any(gap.from_ms < end + GRACE_MS + lag_ms and gap.to_ms > start for gap in gaps)
        if one["complete"] and within:
            wrong.append(f"{one['_id']} says complete, and the feed was down in it")
        elif not one["complete"] and not near:
            wrong.append(f"{one['_id']} says incomplete, and the feed was up all the time")
    return wrong


def trades_lost(lost: Iterable[bytes], received: Iterable[bytes]) -> set[tuple[int, int]]:
    """(token, trade time in ms) of what was in lost frames only, and not older than what had come of its instrument:
    an older one would have been a late packet, and it is not said of any candle that those have all come."""
    newest: dict[int, int] = {}
    for token, at_ms in _trades(received):
        newest[token] = max(at_ms, newest.get(token, 0))
    return {(token, at_ms) for token, at_ms in _trades(lost) if at_ms > newest.get(token, 0)}


def _trades(frames: Iterable[bytes]) -> set[tuple[int, int]]:
    packets = (decode(raw) for frame in frames for raw in split_frame(frame)[0])
    times = [(one.token, one.trade_s or one.exchange_s) for one in packets if one is not None]
    return {(token, 1000 * at) for token, at in times if at}


def untold(documents: Iterable[Mapping[str, Any]], lost: set[tuple[int, int]], last_received_ms: int) -> list[str]:
    """Candles that say complete though a lost trade falls into them. One that had closed before the last frame that
    came is left out: what came for it later would have been late."""
    by_token: dict[int, list[int]] = {}
    for token, at_ms in lost:
        by_token.setdefault(token, []).append(at_ms)
    return [
        f"{one['_id']} says complete, and a trade of it was lost"
        for one in documents
        if one["complete"]
        and one["end_t"] + GRACE_MS > last_received_ms
        and any(one["t"] <= at_ms < one["end_t"] for at_ms in by_token.get(one["token"], ()))
    ]
