"""Synthetic instruments, ticks and frames: the same ticks for every side, made column-wise to be cheap.

A tick is one row of `TICK`; a frame is the broker's own format (utils/kite/frames.py). Everything comes from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from utils.journal.entries import Entry, EntryId, Kind, subscribed_mark
from utils.kite.frames import FULL, FULL_LENGTH, SEGMENT_NSE
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import ist_midnight_ms

SEED = 20_261_120
DAY = date(2026, 11, 20)  # an ordinary trading day of the session table, 09:15 to 15:30
OPEN_MS = ist_midnight_ms(DAY) + (9 * 60 + 15) * 60_000
RECEIVE_DELAY_MS = 400  # the shortest delay seen on the broker's feed

TICK = np.dtype(
    [
        ("row", "i8"),
        ("token", "i8"),
        ("price", "i8"),
        ("quantity", "i8"),
        ("cum", "i8"),
        ("day_high", "i8"),
        ("day_low", "i8"),
        ("trade_s", "i8"),
    ],
    align=True,
)
Array = NDArray[np.void]


def instruments(count: int) -> list[Instrument]:
    """So many stocks of the National Stock Exchange, with tokens as its own are made."""
    return [
        Instrument(
            token=(1_000 + n) << 8 | SEGMENT_NSE,
            exchange="NSE",
            tradingsymbol=f"S{n:05d}",
            name="",
            segment="NSE",
            instrument_type="EQ",
            expiry="",
            tick_size=0.05,
            lot_size=1,
            session_class=SessionClass.EQUITY,
        )
        for n in range(count)
    ]


@dataclass(slots=True)
class Market:
    """The state of every instrument: prices walk in ticks of 5 paise, volume only grows."""

    price: NDArray[np.int64]
    cum: NDArray[np.int64]
    day_high: NDArray[np.int64]
    day_low: NDArray[np.int64]
    dice: np.random.Generator

    @classmethod
    def of(cls, count: int, seed: int = SEED) -> Market:
        dice = np.random.default_rng(seed)
        price = dice.integers(200, 60_000, count) * 5
        return cls(price, dice.integers(1_000, 100_000, count), price.copy(), price.copy(), dice)

    def step(self, rows: NDArray[np.int64], trade_s: NDArray[np.int64] | int, tokens: NDArray[np.int64]) -> Array:
        """One trade of each of these instruments (each at most once)."""
        ticks = np.zeros(len(rows), TICK)
        self.price[rows] = np.maximum(self.price[rows] + 5 * self.dice.integers(-2, 3, len(rows)), 100)
        quantity = self.dice.integers(1, 200, len(rows))
        self.cum[rows] += quantity
        self.day_high[rows] = np.maximum(self.day_high[rows], self.price[rows])
        self.day_low[rows] = np.minimum(self.day_low[rows], self.price[rows])
        ticks["row"], ticks["token"], ticks["trade_s"] = rows, tokens[rows], trade_s
        ticks["price"], ticks["quantity"], ticks["cum"] = self.price[rows], quantity, self.cum[rows]
        ticks["day_high"], ticks["day_low"] = self.day_high[rows], self.day_low[rows]
        return ticks


def full_packets(ticks: Array) -> NDArray[np.void]:
    """Full-mode packets (184 bytes) with a book of five levels around the price."""
    packets = np.zeros(len(ticks), FULL)
    packets["token"], packets["last_price"], packets["last_quantity"] = (
        ticks["token"],
        ticks["price"],
        ticks["quantity"],
    )
    packets["average_price"], packets["volume"] = ticks["price"], ticks["cum"]
    packets["buy_quantity"] = packets["sell_quantity"] = 5_000
    packets["day_open"] = packets["previous_close"] = ticks["day_low"]
    packets["day_high"], packets["day_low"] = ticks["day_high"], ticks["day_low"]
    packets["last_trade_time"] = packets["exchange_time"] = ticks["trade_s"]
    for level in range(5):
        packets["bids"]["price"][:, level] = ticks["price"] - 5 * level
        packets["asks"]["price"][:, level] = ticks["price"] + 5 * (level + 1)
    packets["bids"]["quantity"] = packets["asks"]["quantity"] = 100
    packets["bids"]["orders"] = packets["asks"]["orders"] = 3
    return packets


def frames_of(packets: NDArray[np.void], per_frame: int) -> list[bytes]:
    """The packets in order, `per_frame` of them in each frame."""
    framed = np.zeros(len(packets), np.dtype([("length", ">u2"), ("packet", FULL)]))
    framed["length"], framed["packet"] = FULL_LENGTH, packets
    body, size = framed.tobytes(), framed.itemsize
    return [
        min(per_frame, len(packets) - at).to_bytes(2, "big") + body[at * size : (at + per_frame) * size]
        for at in range(0, len(packets), per_frame)
    ]


def subscription(named: list[Instrument], at_ms: int = OPEN_MS - 60_000) -> Entry:
    """The connector's mark that begins a feed."""
    return Entry(EntryId(at_ms, 0), Kind.MARK, subscribed_mark("full", named))


def seconds_of_ticks(count: int, seconds: int, start_s: int, seed: int = SEED) -> Iterator[Array]:
    """Each second one trade of every instrument, in an order shuffled anew each second."""
    tokens = np.array([instrument.token for instrument in instruments(count)], np.int64)
    market = Market.of(count, seed)
    for second in range(seconds):
        yield market.step(market.dice.permutation(count), start_s + second, tokens)


def frame_entries(ticks: Array, per_frame: int, receive_ms: int) -> list[Entry]:
    """The frames of some ticks as stream entries, all received in one millisecond."""
    return [
        Entry(EntryId(receive_ms, n), Kind.FRAME, frame)
        for n, frame in enumerate(frames_of(full_packets(ticks), per_frame))
    ]
