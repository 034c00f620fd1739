"""A seeded feed with all faults that a feed can have, for comparing two implementations of the rules."""

from __future__ import annotations

import json
import random

from tests.reference.case_building import CURRENCY, FNO_STOCK, FUTURE, INDEX, STOCK, at, pack
from tests.reference.inputs import Entry
from tests.reference.made_up_market import MadeUpMarket

WHO = (STOCK, FNO_STOCK, INDEX, FUTURE, CURRENCY)


def random_feed(seed: int, start: str, seconds: int) -> list[Entry]:
    """About two frames a second from `start` on, for five instruments of different kinds."""
    return _Feed(random.Random(seed), at(start)).run(seconds)


class _Feed:
    def __init__(self, dice: random.Random, start_ms: int) -> None:
        self._dice, self._start_ms = dice, start_ms
        self._markets = [MadeUpMarket(who, dice, start_ms) for who in WHO]
        self._entries: list[Entry] = []
        self._delayed: list[tuple[int, bytes]] = []

    def run(self, seconds: int) -> list[Entry]:
        self._subscribe(self._start_ms - 500)
        for n in range(seconds):
            now_ms = self._start_ms + n * 1000 + self._dice.randrange(0, 450)
            if self._dice.random() < 0.004:
                self._outage(now_ms)
            elif self._dice.random() < 0.05:
                self._add(now_ms, "m", b'{"mark":"clock"}')
            else:
                self._frame(now_ms, n)
                if self._dice.random() < 0.3:
                    self._frame(now_ms + 500, n)
        return self._entries

    def _add(self, ms: int, kind: str, payload: bytes) -> None:
        last = self._entries[-1] if self._entries else None
        if last is not None and ms <= last.ms:
            self._entries.append(Entry(last.ms, last.counter + 1, kind, payload))
        else:
            self._entries.append(Entry(ms, 0, kind, payload))

    def _subscribe(self, ms: int) -> None:
        named = [dict(instrument.mark) for instrument in WHO]
        if self._dice.random() < 0.5:
            self._add(ms, "m", b'{"mark":"up"}')
        self._add(ms, "m", json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode())
        if self._dice.random() < 0.8:
            self._add(ms + 100, "f", pack(*(market.cached(ms) for market in self._markets)))

    def _outage(self, ms: int) -> None:
        if self._dice.random() < 0.6:
            self._add(ms, "m", b'{"mark":"down","reason":"test"}')
        length = self._dice.choice((500, 4_000, 70_000))
        for n in range(self._dice.randrange(0, 4)):
            self._add(ms + n * length // 4, "m", b'{"mark":"clock"}')
        self._subscribe(ms + length)

    def _frame(self, now_ms: int, n: int) -> None:
        dice = self._dice
        packets = [market.packet(now_ms) for market in self._markets if dice.random() < 0.7]
        packets += [packet for due, packet in self._delayed if due <= n]
        self._delayed = [(due, packet) for due, packet in self._delayed if due > n]
        kept = [packet for packet in packets if not self._delay(packet, n)]
        if dice.random() < 0.1:
            dice.shuffle(kept)
        if dice.random() < 0.05:
            kept.append(dice.choice(dice.choice(self._markets).sent or [b"\0" * 8]))
        frame = pack(*kept) if kept else b"\0"
        self._add(now_ms, "f", self._tear(frame) if dice.random() < 0.02 else frame)

    def _delay(self, packet: bytes, n: int) -> bool:
        if self._dice.random() >= 0.04:
            return False
        self._delayed.append((n + self._dice.choice((1, 1, 2, 20, 45, 90, 200)), packet))
        return True

    def _tear(self, frame: bytes) -> bytes:
        cut = self._dice.randrange(0, len(frame))
        return self._dice.choice(
            (frame[:cut], frame + b"\1\2\3", b"", b"\0\2\0\5hello", frame[:1] + b"\xff" + frame[2:])
        )
