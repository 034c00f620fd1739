"""The instruments of a run: the first N of the contract list, as the broker's dump and as numpy columns."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.contracts import Contract, ContractList, Shape
from simulator.dice import Floats, Ints, Salt, draw_keys, normal
from simulator.stocks import STOCKS_WITH_DERIVATIVES
from utils.kite.frames import price_divisor
from utils.market.instruments import Instrument, parse_dump
from utils.market.sessions import SessionCalendar

FEWEST, MOST = 5, 27_000
SLOWEST_PER_SECOND, FASTEST_PER_SECOND = 0.02, 2.0
DUMP_COLUMNS = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)


@dataclass(frozen=True)
class Universe:
    """Row numbers index `instruments`, `contracts` and the arrays alike.

    divisor: wire integers per unit of currency; tick_wire, strike_wire: in wire integers;
    rate: average trades a second over the full session.
    """

    seed: int
    instruments: tuple[Instrument, ...]
    contracts: tuple[Contract, ...]
    listed_only: tuple[Contract, ...]
    tokens: Ints
    shapes: Ints
    divisor: Ints
    tick_wire: Ints
    strike_wire: Floats
    lots: Ints
    rate: Floats

    def __len__(self) -> int:
        return len(self.instruments)

    def row_of_token(self) -> dict[int, int]:
        return {int(token): row for row, token in enumerate(self.tokens)}

    def row_of_symbol(self) -> dict[str, int]:
        return {instrument.symbol: row for row, instrument in enumerate(self.instruments)}

    def dump(self, exchange: str = "") -> bytes:
        """The broker's CSV, of one exchange or of all."""
        wanted = [contract for contract in self.contracts + self.listed_only if exchange in ("", contract.exchange)]
        return _dump(wanted)


def build_universe(how_many: int, seed: int, calendar: SessionCalendar, day: date) -> Universe:
    """The first `how_many` contracts on a session's date. ValueError outside 5 to 27000.

    The front futures of stocks with derivatives are listed even where they are beyond N (listed_only: they never
    trade): a stock with a future has other hours.
    """
    if not FEWEST <= how_many <= MOST:
        raise ValueError(f"{how_many} instruments: the simulator accepts {FEWEST} to {MOST}")
    listing = ContractList(calendar, day)
    contracts = tuple(listing.first(how_many))
    listed = {contract.symbol for contract in contracts}
    futures = [listing.front_future(stock) for stock in STOCKS_WITH_DERIVATIVES if f"NSE:{stock.symbol}" in listed]
    listed_only = tuple(future for future in futures if future.symbol not in listed)
    classified = {instrument.token: instrument for instrument in parse_dump(_dump(contracts + listed_only))}
    divisor = np.array([price_divisor(contract.token) for contract in contracts], dtype=np.int64)
    return Universe(
        seed=seed,
        instruments=tuple(classified[contract.token] for contract in contracts),
        contracts=contracts,
        listed_only=listed_only,
        tokens=np.array([contract.token for contract in contracts], dtype=np.int64),
        shapes=np.array([contract.shape for contract in contracts], dtype=np.int64),
        divisor=divisor,
        tick_wire=np.maximum(1, np.rint([contract.tick_size for contract in contracts] * divisor)).astype(np.int64),
        strike_wire=np.array([contract.strike for contract in contracts]) * divisor,
        lots=np.array([max(1, contract.lot_size) for contract in contracts], dtype=np.int64),
        rate=_rates(contracts, seed),
    )


def _rates(contracts: tuple[Contract, ...], seed: int) -> Floats:
    """0.02 to 2 trades a second, log-normal, about 0.3 in the mean; an index has one value a second."""
    tokens = np.array([contract.token for contract in contracts], dtype=np.int64)
    busy = np.array([contract.busy for contract in contracts])
    drawn = busy * np.exp(-1.75 + 0.8 * normal(draw_keys(seed, tokens, Salt.RATE)))
    is_index = np.array([contract.shape == Shape.INDEX for contract in contracts])
    rate: Floats = np.where(is_index, 1.0, np.clip(drawn, SLOWEST_PER_SECOND, FASTEST_PER_SECOND))
    return rate


def _dump(contracts: tuple[Contract, ...] | list[Contract]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(DUMP_COLUMNS)
    for contract in contracts:
        expiry = contract.expiry.isoformat() if contract.expiry else ""
        head = (
            contract.token,
            contract.token >> 8,
            contract.tradingsymbol,
            contract.name,
            "0.0",
            expiry,
            contract.strike,
        )
        writer.writerow(
            (
                *head,
                contract.tick_size,
                contract.lot_size,
                contract.instrument_type,
                contract.segment,
                contract.exchange,
            )
        )
    return text.getvalue().encode()
