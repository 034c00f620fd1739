"""An endless list of contracts in a fixed order: a universe is its first N.

So a universe of 60 is part of one of 200, and an instrument is the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from itertools import chain, count, cycle, islice

from simulator.stocks import (
    COMMODITIES,
    CURRENCIES,
    INDICES,
    STOCKS_WITH_DERIVATIVES,
    STOCKS_WITHOUT_DERIVATIVES,
    Index,
    Stock,
)
from utils.kite import frames as wire
from utils.market.instruments import SessionClass
from utils.market.sessions import SessionCalendar

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
TUESDAY = 1
STRIKES_EACH_SIDE = 40
DERIVATIVE_TOKENS_FROM = 200_000
FRONT_FUTURE_TOKENS_FROM = 100_000
SMALL_STOCK_TOKENS_FROM = 27_000


class Shape(IntEnum):
    """How a price follows its underlying's."""

    SPOT = 0
    FUTURE = 1
    CALL = 2
    PUT = 3
    INDEX = 4


@dataclass(frozen=True, slots=True)
class Contract:
    """One row of the list. `spot_price` is the level its underlying moves around, in the quote currency."""

    token: int
    exchange: str
    tradingsymbol: str
    name: str
    segment: str
    instrument_type: str
    expiry: date | None
    strike: float
    tick_size: float
    lot_size: int
    shape: Shape
    path_token: int
    path_class: SessionClass
    spot_price: float
    busy: float = 1.0

    @property
    def symbol(self) -> str:
        return f"{self.exchange}:{self.tradingsymbol}"


def monthly_expiries(calendar: SessionCalendar, day: date, how_many: int) -> list[date]:
    """The last Tuesdays from `day` on, moved to the trading day before where that is a holiday."""
    found: list[date] = []
    year, month = day.year, day.month
    while len(found) < how_many:
        following = date(year + month // 12, month % 12 + 1, 1)
        last = following - timedelta(days=1)
        expiry = last - timedelta(days=(last.weekday() - TUESDAY) % 7)
        if calendar.session(SessionClass.INDEX_DERIVATIVE, expiry) is None:
            expiry = calendar.previous_trading_day(SessionClass.INDEX_DERIVATIVE, expiry)
        if expiry >= day:
            found.append(expiry)
        year, month = following.year, following.month
    return found


class ContractList:
    """Builds the list for a session's date (the expiries depend on it)."""

    def __init__(self, calendar: SessionCalendar, day: date) -> None:
        self._expiries = monthly_expiries(calendar, day, 6)
        self._numbers = count(DERIVATIVE_TOKENS_FROM)

    def first(self, how_many: int) -> list[Contract]:
        return list(islice(_without_repetition(self._in_order()), how_many))

    def front_future(self, stock: Stock) -> Contract:
        """The nearest future of a stock; its token depends on the stock alone."""
        return self._future(stock.symbol, stock.lot, stock.price, _cash_token(stock), self._expiries[0], stock=True)

    def _in_order(self) -> Iterator[Contract]:
        infosys, reliance, *others = STOCKS_WITH_DERIVATIVES
        yield from (_index(INDICES[0]), _stock(infosys), self.front_future(infosys), self._currency(0, 0))
        yield from (
            self._commodity(0, 0),
            _index(INDICES[1]),
            _stock(reliance),
            _stock(STOCKS_WITHOUT_DERIVATIVES[0]),
        )
        yield from (self._index_future(INDICES[0], 0), self._index_option(INDICES[0], 0, 0, "CE"))
        yield from map(_stock, others)
        yield from (self._index_option(INDICES[0], 0, 0, "PE"), self._index_future(INDICES[1], 0))
        yield from map(_stock, STOCKS_WITHOUT_DERIVATIVES[1:4])
        yield self.front_future(reliance)
        yield from map(self.front_future, others)
        yield from map(_index, INDICES[2:])
        yield from map(_stock, STOCKS_WITHOUT_DERIVATIVES[4:])
        yield from (self._commodity(index, 0) for index in range(1, len(COMMODITIES)))
        yield from (self._currency(index, 0) for index in range(1, len(CURRENCIES)))
        yield from map(_on_bse, STOCKS_WITH_DERIVATIVES[:3])
        yield from self._index_options(range(1, 21))
        yield from _alternate(self._far_contracts(), _small_stocks())

    def _index_options(self, distances: range) -> Iterator[Contract]:
        for distance in distances:
            for index in INDICES[:2]:
                for steps in (-distance, distance):
                    for kind in ("CE", "PE"):
                        yield self._index_option(index, 0, steps, kind)

    def _far_contracts(self) -> Iterator[Contract]:
        for month in range(1, 3):
            yield from (self._index_future(index, month) for index in INDICES[:2])
            yield from (self._stock_future(stock, month) for stock in STOCKS_WITH_DERIVATIVES)
        for month, distance in ((m, d) for m in range(3) for d in range(STRIKES_EACH_SIDE)):
            for stock in STOCKS_WITH_DERIVATIVES:
                yield from (self._stock_option(stock, month, distance, kind) for kind in ("CE", "PE"))

    def _stock_future(self, stock: Stock, month: int) -> Contract:
        return self._future(
            stock.symbol, stock.lot, stock.price, _cash_token(stock), self._expiries[month], True, next(self._numbers)
        )

    def _index_future(self, index: Index, month: int) -> Contract:
        number = 13_000 + 10 * INDICES.index(index) + month
        expiry = self._expiries[month]
        return self._future(index.root, index.lot, index.price, index.token, expiry, False, number)

    def _future(
        self, root: str, lot: int, price: float, path: int, expiry: date, stock: bool, number: int = 0
    ) -> Contract:
        exchange_token = number or FRONT_FUTURE_TOKENS_FROM + (path >> 8)
        return Contract(
            token=exchange_token << 8 | wire.SEGMENT_NFO,
            exchange="NFO",
            tradingsymbol=f"{root}{_month_code(expiry)}FUT",
            name=root,
            segment="NFO-FUT",
            instrument_type="FUT",
            expiry=expiry,
            strike=0.0,
            tick_size=0.05 if price < 1000 else 0.1,
            lot_size=lot,
            shape=Shape.FUTURE,
            path_token=path,
            path_class=SessionClass.EQUITY_FNO if stock else SessionClass.INDEX,
            spot_price=price,
            busy=0.8 if stock else 4.0,
        )

    def _index_option(self, index: Index, month: int, steps: int, kind: str) -> Contract:
        strike = round(index.price / index.strike_step) * index.strike_step + steps * index.strike_step
        return self._option(index.root, index.lot, index.price, index.token, month, strike, kind, SessionClass.INDEX)

    def _stock_option(self, stock: Stock, month: int, distance: int, kind: str) -> Contract:
        step = _strike_step(stock.price)
        steps = (distance + 1) // 2 * (1 if distance % 2 else -1)
        strike = max(step, round(stock.price / step) * step + steps * step)
        path_class = SessionClass.EQUITY_FNO
        return self._option(stock.symbol, stock.lot, stock.price, _cash_token(stock), month, strike, kind, path_class)

    def _option(
        self,
        root: str,
        lot: int,
        price: float,
        path: int,
        month: int,
        strike: float,
        kind: str,
        path_class: SessionClass,
    ) -> Contract:
        expiry = self._expiries[month]
        return Contract(
            token=next(self._numbers) << 8 | wire.SEGMENT_NFO,
            exchange="NFO",
            tradingsymbol=f"{root}{_month_code(expiry)}{strike:g}{kind}",
            name=root,
            segment="NFO-OPT",
            instrument_type=kind,
            expiry=expiry,
            strike=strike,
            tick_size=0.05,
            lot_size=lot,
            shape=Shape.CALL if kind == "CE" else Shape.PUT,
            path_token=path,
            path_class=path_class,
            spot_price=price,
            busy=1.5 if path_class is SessionClass.INDEX else 0.15,
        )

    def _currency(self, index: int, month: int) -> Contract:
        root, price = CURRENCIES[index]
        token = (2_000 + 10 * index + month) << 8 | wire.SEGMENT_CDS
        return self._simple_future("CDS", root, price, 0.0025, 1, token, month, SessionClass.CURRENCY)

    def _commodity(self, index: int, month: int) -> Contract:
        root, price, tick, lot = COMMODITIES[index]
        token = (220_000 + 10 * index + month) << 8 | wire.SEGMENT_MCX
        return self._simple_future("MCX", root, price, tick, lot, token, month, SessionClass.COMMODITY)

    def _simple_future(
        self,
        exchange: str,
        root: str,
        price: float,
        tick: float,
        lot: int,
        token: int,
        month: int,
        path: SessionClass,
    ) -> Contract:
        expiry = self._expiries[month]
        return Contract(
            token=token,
            exchange=exchange,
            tradingsymbol=f"{root}{_month_code(expiry)}FUT",
            name=root,
            segment=f"{exchange}-FUT",
            instrument_type="FUT",
            expiry=expiry,
            strike=0.0,
            tick_size=tick,
            lot_size=lot,
            shape=Shape.FUTURE,
            path_token=token,
            path_class=path,
            spot_price=price,
        )


def _month_code(expiry: date) -> str:
    return f"{expiry.year % 100:02d}{MONTHS[expiry.month - 1]}"


def _strike_step(price: float) -> float:
    return next(
        step for below, step in ((300, 2.5), (600, 5.0), (1500, 10.0), (5000, 20.0), (1e9, 100.0)) if price < below
    )


def _cash_token(stock: Stock) -> int:
    return stock.exchange_token << 8 | wire.SEGMENT_NSE


def _index(index: Index) -> Contract:
    return Contract(
        token=index.token,
        exchange=index.exchange,
        tradingsymbol=index.symbol,
        name=index.symbol,
        segment="INDICES",
        instrument_type="EQ",
        expiry=None,
        strike=0.0,
        tick_size=0.05,
        lot_size=0,
        shape=Shape.INDEX,
        path_token=index.token,
        path_class=SessionClass.INDEX,
        spot_price=index.price,
    )


def _stock(stock: Stock) -> Contract:
    return Contract(
        token=_cash_token(stock),
        exchange="NSE",
        tradingsymbol=stock.symbol,
        name=stock.name,
        segment="NSE",
        instrument_type="EQ",
        expiry=None,
        strike=0.0,
        tick_size=0.01 if stock.price < 250 else 0.05 if stock.price < 1000 else 0.1,
        lot_size=1,
        shape=Shape.SPOT,
        path_token=_cash_token(stock),
        path_class=SessionClass.EQUITY_FNO if stock.lot else SessionClass.EQUITY,
        spot_price=stock.price,
        busy=1.6 if stock.lot else 0.5,
    )


def _on_bse(stock: Stock) -> Contract:
    here = _stock(stock)
    return Contract(
        token=(500_000 + stock.exchange_token) << 8 | wire.SEGMENT_BSE,
        exchange="BSE",
        tradingsymbol=here.tradingsymbol,
        name=here.name,
        segment="BSE",
        instrument_type="EQ",
        expiry=None,
        strike=0.0,
        tick_size=here.tick_size,
        lot_size=1,
        shape=Shape.SPOT,
        path_token=here.path_token,
        path_class=here.path_class,
        spot_price=here.spot_price,
        busy=0.3,
    )


def _small_stocks() -> Iterator[Contract]:
    """An endless sequence of made-up small companies."""
    for index in count():
        price = 20.0 + (index * 7919 % 1500)
        yield _stock(Stock(f"SMALL{index:05d}", SMALL_STOCK_TOKENS_FROM + index, f"SMALL COMPANY {index}", price, 0))


def _without_repetition(contracts: Iterator[Contract]) -> Iterator[Contract]:
    """Drops repeated symbols: strikes of a cheap stock are bounded below and come twice."""
    seen: set[str] = set()
    for contract in contracts:
        if contract.symbol not in seen:
            seen.add(contract.symbol)
            yield contract


def _alternate(first: Iterator[Contract], second: Iterator[Contract]) -> Iterator[Contract]:
    """Two of the first, one of the second; when the first ends, the second alone."""
    for source in cycle((first, first, second)):
        entry = next(source, None)
        if entry is None:
            break
        yield entry
    yield from chain(second)
