"""Which candles an outage touched, without any candle code: from the marks, and from the frames that were lost.

- A candle with `complete: true` has no gap of the feed within it, and no lost frame has a trade that falls into it.
- A candle with `complete: false` has a gap within it or shortly after it: within GRACE_MS plus the worst lag of the
  session's frames, since a late trade of the candle may have been lost there.
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
    for entry in received:
        mark = json.loads(entry.payload)["mark"] if entry.kind == "m" else ""
        if entry.kind in ("f", "t"):
            last_frame_ms = entry.ms
        if mark in ("up", "down", "subscribed") and is_up:
            down_since, is_up = last_frame_ms, False
        if mark == "subscribed":
            gaps.append(Gap(down_since, entry.ms))
            last_frame_ms, is_up = entry.ms, True
    return gaps if is_up else [*gaps, Gap(down_since, END)]


def worst_lag_ms(received: Iterable[Entry]) -> int:
    """How late the latest frame came: its receipt behind the newest exchange time in it."""
    worst = 0
    for entry in received:
        packets = (decode(raw) for raw in split_frame(entry.payload)[0]) if entry.kind == "f" else ()
        times = [packet.exchange_s for packet in packets if packet is not None and packet.exchange_s]
        if times:
            worst = max(worst, entry.ms - 1000 * max(times))
    return worst


def wrong_completeness(documents: Iterable[Mapping[str, Any]], gaps: Sequence[Gap], lag_ms: int = 0) -> list[str]:
    """Candles whose `complete` does not match the gaps, when frames came up to `lag_ms` late."""
    wrong: list[str] = []
    for document in documents:
        start, end = document["t"], document["end_t"]
        within = any(gap.from_ms < end and gap.to_ms > start for gap in gaps)
        near = any(gap.from_ms < end + GRACE_MS + lag_ms and gap.to_ms > start for gap in gaps)
        if document["complete"] and within:
            wrong.append(f"{document['_id']} is complete, and the feed was down in it")
        elif not document["complete"] and not near:
            wrong.append(f"{document['_id']} is incomplete, and the feed was up all the time")
    return wrong


def trades_lost(lost: Iterable[bytes], received: Iterable[bytes]) -> set[tuple[int, int]]:
    """(token, trade time in ms) of trades in lost frames that are newer than every received one of their instrument.

    Older ones would have been late packets, which `complete` does not cover.
    """
    newest: dict[int, int] = {}
    for token, at_ms in _trades(received):
        newest[token] = max(at_ms, newest.get(token, 0))
    return {(token, at_ms) for token, at_ms in _trades(lost) if at_ms > newest.get(token, 0)}


def _trades(frames: Iterable[bytes]) -> set[tuple[int, int]]:
    packets = (decode(raw) for frame in frames for raw in split_frame(frame)[0])
    times = [(packet.token, packet.trade_s or packet.exchange_s) for packet in packets if packet is not None]
    return {(token, 1000 * at) for token, at in times if at}


def unmarked(documents: Iterable[Mapping[str, Any]], lost: set[tuple[int, int]], last_received_ms: int) -> list[str]:
    """Candles that are marked complete although a lost trade falls into them.

    Candles that had closed before the last received frame are left out: a later trade of theirs would have been late.
    """
    by_token: dict[int, list[int]] = {}
    for token, at_ms in lost:
        by_token.setdefault(token, []).append(at_ms)
    return [
        f"{document['_id']} is complete, and a trade of it was lost"
        for document in documents
        if document["complete"]
        and document["end_t"] + GRACE_MS > last_received_ms
        and any(document["t"] <= at_ms < document["end_t"] for at_ms in by_token.get(document["token"], ()))
    ]
