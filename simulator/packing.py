"""Packets into frames: each connection's own choice of rows and modes, cut from the full-mode records."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from simulator.snapshots import MinutePackets, Packets, Records
from utils.kite import frames as wire

Modes = np.ndarray[tuple[int], np.dtype[np.uint8]]
LENGTH_BYTES = 2


class Mode(IntEnum):
    """The mode that a connection asked for a row; NONE is not subscribed."""

    NONE = 0
    LTP = 1
    QUOTE = 2
    FULL = 3


TRADABLE_LENGTHS = {Mode.LTP: wire.LTP_LENGTH, Mode.QUOTE: wire.QUOTE_LENGTH, Mode.FULL: wire.FULL_LENGTH}
INDEX_LENGTHS = {Mode.LTP: wire.LTP_LENGTH, Mode.QUOTE: wire.INDEX_QUOTE_LENGTH, Mode.FULL: wire.INDEX_FULL_LENGTH}


def pack(packets: MinutePackets, modes: Modes) -> bytes:
    """One frame of those packets whose row has a mode, `b""` when there is none.

    The shorter layouts are the beginnings of the longer ones, so a mode is a length to cut to.
    """
    count, parts = 0, [b"\0\0"]
    for some, lengths in ((packets.indices, INDEX_LENGTHS), (packets.tradables, TRADABLE_LENGTHS)):
        chosen = modes[some.row]
        for mode, length in lengths.items():
            which = chosen == mode
            if not which.any():
                continue
            records = some.records if which.all() else some.records[which]
            count += len(records)
            parts.append(_with_lengths(records, length))
    parts[0] = count.to_bytes(2, "big")
    return b"".join(parts) if count else b""


def _with_lengths(records: Records, length: int) -> bytes:
    raw = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), -1)
    packed = np.empty((len(records), LENGTH_BYTES + length), dtype=np.uint8)
    packed[:, 0], packed[:, 1] = length >> 8, length & 0xFF
    packed[:, LENGTH_BYTES:] = raw[:, :length]
    return packed.tobytes()


def slot_slice(packets: Packets, slot: int) -> Packets:
    """The packets of one slot (they are sorted by it)."""
    left, right = np.searchsorted(packets.slot, (slot, slot + 1))
    return packets.select(slice(int(left), int(right)))
