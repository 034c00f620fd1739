"""A seeded feed with everything wrong in it that a feed can have, for comparing two readings of the rules.

Not a market: prices and times are drawn to hit the rules' edges (bucket ends, the open, the close, equal seconds).
"""

from __future__ import annotations

import json
import random
import struct
from dataclasses import dataclass, field

from tests.reference.case_building import CURRENCY, FNO_STOCK, FUTURE, INDEX, STOCK, CaseInstrument, at, pack
from tests.reference.inputs import Entry

WHO = (STOCK, FNO_STOCK, INDEX, FUTURE, CURRENCY)


@dataclass
class _Truth:
    """Where one instrument's made-up market stands."""

    price: int
    volume: int = 0
    trade_s: int = 0
    high: int = 0
    low: int = 0
    sent: list[bytes] = field(default_factory=list)


def random_feed(seed: int, start: str, seconds: int) -> list[Entry]:
    """About a frame a second from `start` on, for five instruments of different kinds."""
    return _Feed(random.Random(seed)).run(at(start), seconds)


class _Feed:
    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._truths = {who.token: _Truth(price=90 * who.reference.divisor) for who in WHO}
        self._entries: list[Entry] = []
        self._held: list[tuple[int, bytes]] = []

    def run(self, start_ms: int, seconds: int) -> list[Entry]:
        self._subscribe(start_ms - 500)
        for n in range(seconds):
            now_ms = start_ms + n * 1000 + self._dice.randrange(0, 900)
            if self._dice.random() < 0.004:
                self._outage(now_ms)
            elif self._dice.random() < 0.05:
                self._add(now_ms, "m", b'{"mark":"clock"}')
            else:
                self._frame(now_ms, n)
        return self._entries

    def _add(self, ms: int, kind: str, payload: bytes) -> None:
        last = self._entries[-1] if self._entries else None
        if last is not None and ms <= last.ms:
            self._entries.append(Entry(last.ms, last.counter + 1, kind, payload))
        else:
            self._entries.append(Entry(ms, 0, kind, payload))

    def _subscribe(self, ms: int) -> None:
        named = [dict(one.mark) for one in WHO]
        if self._dice.random() < 0.5:
            self._add(ms, "m", b'{"mark":"up"}')
        self._add(ms, "m", json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode())

    def _outage(self, ms: int) -> None:
        if self._dice.random() < 0.6:
            self._add(ms, "m", b'{"mark":"down","reason":"test"}')
        length = self._dice.choice((500, 4_000, 70_000))
        for n in range(self._dice.randrange(0, 4)):
            self._add(ms + n * length // 4, "m", b'{"mark":"clock"}')
        self._subscribe(ms + length)

    def _frame(self, now_ms: int, n: int) -> None:
        dice = self._dice
        packets = [self._packet(who, now_ms) for who in WHO if dice.random() < 0.7]
        packets += [packet for due, packet in self._held if due <= n]
        self._held = [(due, packet) for due, packet in self._held if due > n]
        kept = [packet for packet in packets if not self._hold(packet, n)]
        if dice.random() < 0.1:
            dice.shuffle(kept)
        if dice.random() < 0.05:
            kept.append(dice.choice(self._truths[dice.choice(WHO).token].sent or [b"\0" * 8]))
        frame = pack(*kept) if kept else b"\0"
        self._add(now_ms, "f", self._tear(frame) if dice.random() < 0.02 else frame)

    def _hold(self, packet: bytes, n: int) -> bool:
        if self._dice.random() >= 0.04:
            return False
        self._held.append((n + self._dice.choice((1, 2, 20, 45, 90, 200)), packet))
        return True

    def _tear(self, frame: bytes) -> bytes:
        cut = self._dice.randrange(0, len(frame))
        return self._dice.choice(
            (frame[:cut], frame + b"\1\2\3", b"", b"\0\2\0\5hello", frame[:1] + b"\xff" + frame[2:])
        )

    def _packet(self, who: CaseInstrument, now_ms: int) -> bytes:
        dice, truth = self._dice, self._truths[who.token]
        now_s = now_ms // 1000
        tick = max(1, who.reference.tick_units)
        if dice.random() < 0.5:
            truth.price += dice.choice((-3, -2, -1, 1, 2, 3)) * tick
            truth.volume += dice.choice((0, 1, 5, 100))
            truth.trade_s = now_s - dice.choice((0, 0, 0, 1, 2, 5, 70))
            jump = dice.choice((0, 0, 0, 2)) * tick
            truth.high = max(truth.high, truth.price + jump)
            truth.low = min(truth.low or truth.price, truth.price - jump)
        if dice.random() < 0.003:
            truth.volume = truth.volume // 2
        if dice.random() < 0.003:
            truth.price = round(truth.price * dice.choice((0.97, 1.03)))
            truth.high, truth.low = max(truth.high, truth.price), min(truth.low or truth.price, truth.price)
        packet = self._write(who, truth, self._odd_price(truth), now_s - dice.choice((0, 0, 0, 0, 1)))
        truth.sent.append(packet)
        return packet

    def _odd_price(self, truth: _Truth) -> int:
        odd = self._dice.random()
        if odd < 0.005:
            return 0
        return round(truth.price * self._dice.choice((0.9, 1.1))) if odd < 0.015 else truth.price

    def _write(self, who: CaseInstrument, truth: _Truth, price: int, exchange_s: int) -> bytes:
        dice = self._dice
        token = who.token if dice.random() > 0.003 else 77
        day = (truth.low, truth.high, truth.low) if truth.high and dice.random() > 0.1 else (0, 0, 0)
        kind = dice.random()
        if kind < 0.01:
            return struct.pack(">2I", token, price)
        if who.reference.is_index:
            quote = struct.pack(">7I", token, price, day[1], day[2], day[0], 0, 0)
            return quote if kind < 0.03 else quote + struct.pack(">I", exchange_s)
        head = struct.pack(">11I", token, price, 1, price, truth.volume, 0, 0, day[0], day[1], day[2], 0)
        if kind < 0.03:
            return head
        trade_s = (
            truth.trade_s if dice.random() > 0.01 else dice.choice((0, exchange_s - 90_000, exchange_s + 500, 5))
        )
        times = struct.pack(">5I", trade_s, dice.randrange(100), 0, 0, exchange_s if dice.random() > 0.003 else 0)
        crossed = 1 if dice.random() < 0.01 else -1
        bid, ask = (struct.pack(">IIHH", 1, max(1, price + crossed * side), 1, 0) for side in (1, -1))
        return head + times + bid + bytes(48) + ask + bytes(48)
