"""Faults of entire frames: cut short, a wrong length, a wrong count, noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from simulator.dice import Salt, draw_keys, mix
from simulator.faults import Fault
from utils.kite.frames import pack_frame, split_frame

ONE_IN = 1_500
LONGEST_NOISE = 300


class FrameFaults:
    """Garbles about one frame in 1500, drawn for the time it is due."""

    def __init__(self, names: Iterable[Fault], seed: int) -> None:
        self._on = Fault.MALFORMED in set(names)
        self._seed = seed
        self.counted: Counter[str] = Counter()

    def touched(self, frame: bytes, due_ms: int) -> list[bytes]:
        """The frames to send for one good frame: itself, a garbled one in its place, or itself and noise."""
        if not self._on:
            return [frame]
        dice = int(mix(draw_keys(self._seed, Salt.FAULT, due_ms))[0])
        if dice % ONE_IN:
            return [frame]
        self.counted[str(Fault.MALFORMED)] += 1
        dice //= ONE_IN
        kinds = (_cut_short, _wrong_length, _wrong_count)
        kind, rest = dice % (len(kinds) + 1), dice // 4
        return [frame, _noise(rest)] if kind == len(kinds) else [kinds[kind](frame, rest)]


def _cut_short(frame: bytes, dice: int) -> bytes:
    return frame[: 3 + dice % (len(frame) - 3)]


def _wrong_length(frame: bytes, dice: int) -> bytes:
    """The frame adds up, but one packet in it has a length that no packet has."""
    packets = list(split_frame(frame))
    at = dice % len(packets)
    packets[at] += bytes(1 + dice % 3)
    return pack_frame(packets)


def _wrong_count(frame: bytes, dice: int) -> bytes:
    count = int.from_bytes(frame[:2], "big") + (1 if dice % 2 else -1)
    return count.to_bytes(2, "big") + frame[2:]


def _noise(dice: int) -> bytes:
    length = 2 + dice % LONGEST_NOISE
    noise = mix(draw_keys(dice % (1 << 62), np.arange(length // 8 + 1)))
    return noise.tobytes()[:length]
