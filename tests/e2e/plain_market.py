"""What the plain broker trades: four instruments, a seeded tape, each trade a packet of its own second.

Every trade is shown, so the true candles follow from the tape alone (`true_candles`), without any rule about
snapshots. The reference, too, has to agree with them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.reference.inputs import ReferenceInstrument

if TYPE_CHECKING:
    from tests.e2e.plain_broker import Manners

DAY = "2026-11-20"
IST = timedelta(hours=5, minutes=30)


def seconds_of(clock: str, day: str = DAY) -> int:
    """Epoch seconds of an IST time of day."""
    local = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    return round((local - IST).timestamp())


@dataclass(frozen=True)
class Stock:
    """One instrument with its hours of the day: continuous trading, and what the day candle counts."""

    symbol: str
    token: int
    kind: str
    price: int
    chance: float
    hours: tuple[str, str, str, str]

    @property
    def is_index(self) -> bool:
        return self.kind == "INDEX"

    @property
    def reference(self) -> ReferenceInstrument:
        opens, closes, day_start, day_end = (seconds_of(clock) * 1000 for clock in self.hours)
        tick = 1 if self.is_index else 5
        return ReferenceInstrument(
            self.symbol, self.token, self.is_index, self.kind == "FUT", 100, tick, opens, closes, day_start, day_end
        )


# Their hours on 2026-11-20, as NSE publishes them: the closing auction takes a stock with futures at 15:15.
MARKET = (
    Stock("NSE:NIFTY 50", 256265, "INDEX", 2_612_345, 0.9, ("09:15", "15:30", "09:15", "15:30")),
    Stock("NSE:INFY", 408065, "EQ", 150_000, 0.6, ("09:15", "15:15", "09:00", "15:35")),
    Stock("NSE:QUIETCO", 1_280_001, "EQ", 42_050, 0.08, ("09:15", "15:30", "09:00", "15:30")),
    Stock("NFO:INFY26NOVFUT", 15_360_002, "FUT", 150_600, 0.3, ("09:15", "15:40", "09:00", "15:40")),
)


@dataclass
class Day:
    """The day of one instrument so far, as its packets show it."""

    price: int
    volume: int = 0
    turnover: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    trade_s: int = 0
    quantity: int = 0
    oi: int = 0

    def trade(self, price: int, quantity: int, at_s: int) -> None:
        self.open = self.open or price
        self.high, self.low = max(self.high, price), min(self.low or price, price)
        self.price, self.quantity, self.trade_s = price, quantity, at_s
        self.volume += quantity
        self.turnover += price * quantity


@dataclass
class Second:
    """The packets of a market second, and its trades: (symbol, price, quantity, oi)."""

    packets: list[bytes] = field(default_factory=list)
    trades: list[tuple[str, int, int, int]] = field(default_factory=list)
    shown: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)


def dump_csv() -> str:
    """`/instruments`, in Kite's columns."""
    columns = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size"
    rows = [columns + ",instrument_type,segment,exchange"]
    for listed in MARKET:
        exchange, symbol = listed.symbol.split(":")
        name, expiry = ("INFY", "2026-11-26") if listed.kind == "FUT" else (symbol, "")
        segment = {"INDEX": "INDICES", "EQ": "NSE", "FUT": "NFO-FUT"}[listed.kind]
        kind = "FUT" if listed.kind == "FUT" else "EQ"
        rows.append(
            f"{listed.token},{listed.token >> 8},{symbol},{name},0,{expiry},0,0.05,1,{kind},{segment},{exchange}"
        )
    return "\n".join(rows) + "\n"


def history_rows(token: int, interval: str, query: Mapping[str, str]) -> list[list[Any]]:
    """Plausible candles of the weekdays asked for, up to the moment before the session of DAY."""
    stock = next(instrument for instrument in MARKET if instrument.token == token)
    step_s = 86_400 if interval == "day" else 60 * int(interval.removesuffix("minute") or 1)
    at, until = (datetime.fromisoformat(query[name]).replace(tzinfo=UTC) for name in ("from", "to"))
    rows: list[list[Any]] = []
    while at.date() <= until.date() and at.date() < datetime.fromisoformat(DAY).date():
        midnight = datetime(at.year, at.month, at.day, tzinfo=UTC)
        if midnight.weekday() < 5:
            first = midnight if interval == "day" else midnight + timedelta(hours=9, minutes=15)
            count = 1 if interval == "day" else 22_500 // step_s
            rows += [_history_row(stock, first + timedelta(seconds=n * step_s)) for n in range(count)]
        at = midnight + timedelta(days=1)
    return rows


def _history_row(stock: Stock, local: datetime) -> list[Any]:
    dice = random.Random(f"{stock.token} {local}")
    prices = [round(stock.price * (1 + dice.gauss(0, 0.002))) / 100 for _ in range(4)]
    text = local.replace(tzinfo=None).isoformat() + "+0530"
    return [text, prices[0], max(prices), min(prices), prices[3], 0 if stock.is_index else dice.randrange(1, 9_999)]


def play(manners: Manners) -> dict[int, Second]:
    """The full tape, by epoch second: trades and book changes from first_trade until `until`."""
    dice = random.Random(manners.seed)
    states = {instrument.token: Day(instrument.price) for instrument in MARKET}
    day: dict[int, Second] = {}
    first_s, last_s = seconds_of(manners.first_trade), seconds_of(manners.until)
    if manners.preopen_volume:
        # The pre-open auction is over at 09:08; its volume is in every packet from then on.
        day[seconds_of("09:08")] = second = Second()
        for instrument in MARKET[1:3]:
            states[instrument.token].trade(instrument.price, manners.preopen_volume, seconds_of("09:08"))
            second.trades.append((instrument.symbol, instrument.price, manners.preopen_volume, 0))
            second.shown[instrument.token] = _packets(
                instrument, states[instrument.token], seconds_of("09:08"), manners
            )
        second.packets = [full for _, full in second.shown.values()]
    for at_s in range(first_s, last_s):
        day[at_s] = _second(dice, states, at_s, manners)
    return day


def _second(dice: random.Random, states: dict[int, Day], at_s: int, manners: Manners) -> Second:
    second = Second()
    for instrument in MARKET:
        chance, state = dice.random(), states[instrument.token]
        if chance < instrument.chance:
            price = state.price + dice.choice((-2, -1, 0, 1, 2)) * instrument.reference.tick_units
            quantity = 0 if instrument.is_index else dice.randrange(1, 200)
            state.oi = dice.randrange(1_000_000, 1_001_000) if instrument.kind == "FUT" else 0
            state.trade(price, quantity, at_s)
            second.trades.append((instrument.symbol, price, quantity, state.oi))
        elif chance > instrument.chance + (1 - instrument.chance) * 0.3 or instrument.is_index:
            continue
        second.shown[instrument.token] = _packets(instrument, state, at_s, manners)
    second.packets = [full for _, full in second.shown.values()]
    return second


def _packets(stock: Stock, day: Day, at_s: int, manners: Manners) -> tuple[bytes, bytes]:
    """Quote and full packet of one instrument's state."""
    exchange_s = at_s + manners.exchange_time_ahead_seconds
    if stock.is_index:
        quote = struct.pack(">7I", stock.token, day.price, day.high, day.low, day.open, stock.price, 0)
        return quote, quote + struct.pack(">I", exchange_s)
    average = day.turnover // day.volume if day.volume else 0
    head = struct.pack(
        ">11I",
        stock.token,
        day.price,
        day.quantity,
        average,
        day.volume,
        10,
        10,
        day.open,
        day.high,
        day.low,
        stock.price,
    )
    trade_s = day.trade_s or seconds_of("15:29:58", "2026-11-19")
    full = head + struct.pack(">5I", trade_s, day.oi, day.oi, day.oi, exchange_s)
    return head, full + _depth(day.price, manners.depth)


def _depth(price: int, depth: str) -> bytes:
    if depth == "none":
        return bytes(120)
    gap = 0 if depth == "equal" else 5
    bids = [struct.pack(">2I2H", 10, price - n * 5, 1, 0) for n in range(5)]
    asks = [struct.pack(">2I2H", 10, price + gap + n * 5, 1, 0) for n in range(5)]
    return b"".join(bids + asks)


def cached_packets(day: dict[int, Second], now_s: int, manners: Manners, quote: bool) -> list[bytes]:
    """The last value of each instrument before now; yesterday's where there is none yet."""
    latest = {instrument.token: _packets(instrument, Day(instrument.price), now_s, manners) for instrument in MARKET}
    for at_s in sorted(at_s for at_s in day if at_s < now_s):
        latest |= day[at_s].shown
    return [packets[0 if quote else 1] for packets in latest.values()]


@dataclass
class TrueCandle:
    """One bucket of the tape, prices in wire units; `oi` is the last trade's."""

    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    ticks: int = 0
    oi: int = 0


def true_candles(
    day: Mapping[int, Second], minutes: int, from_s: int, index_ahead_seconds: int = 0
) -> dict[tuple[str, int], TrueCandle]:
    """By symbol and start (epoch s), from all trades of continuous trading at `from_s` or later; minutes 0: the day's
    one candle, which counts its auctions. An index has no time but the exchange's, which may run ahead."""
    found: dict[tuple[str, int], TrueCandle] = {}
    for sent_s in sorted(sent_s for sent_s in day if sent_s >= from_s):
        for symbol, price, quantity, oi in day[sent_s].trades:
            stock = next(instrument for instrument in MARKET if instrument.symbol == symbol)
            at_s = sent_s + (index_ahead_seconds if stock.is_index else 0)
            opens, closes, day_start, _ = (seconds_of(clock) for clock in stock.hours)
            if not (day_start if minutes == 0 else opens) <= at_s < closes:
                continue
            start = opens if minutes == 0 else opens + (at_s - opens) // (minutes * 60) * minutes * 60
            candle = found.setdefault((symbol, start), TrueCandle(price, price, price, price))
            candle.high, candle.low, candle.close = max(candle.high, price), min(candle.low, price), price
            candle.volume, candle.ticks, candle.oi = candle.volume + quantity, candle.ticks + 1, oi
    return found
