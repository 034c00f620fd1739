"""The packets around one: what the engine was shown when it refused a trade or let a bad print in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from tests.measures.played_day import PlayedDay
from utils.market.ist import IST

HEADING = "    exchange  traded    price    qty   volume   low      high     bid      ask"


def shown_examples(played: PlayedDay, positions: Sequence[int], most: int) -> Iterator[str]:
    """Lines: for each of the first positions (in Told) its symbol, and the packets from 3 before to 3 after it."""
    for at in positions[:most]:
        row = int(played.told.row[at])
        universe = played.tape.universe
        yield f"  {universe.instruments[row].symbol}, tick {universe.tick_wire[row]}"
        yield HEADING
        mine = np.flatnonzero(played.told.row == row)
        place = int(np.searchsorted(mine, at))
        for one in mine[max(0, place - 3) : place + 4].tolist():
            yield f"{' >>' if one == at else '   '} {_packet(played, one)}"


def _packet(played: PlayedDay, at: int) -> str:
    told = played.told
    times = [_clock(int(told.exchange_s[at])), _clock(int(told.trade_s[at]))]
    columns = (told.price, told.quantity, told.volume, told.day_low, told.day_high, told.bid, told.ask)
    kind = "" if told.true[at] else " misprinted" if told.misprinted[at] else " faulty"
    return "  ".join([*times, *(f"{int(column[at]):<7}" for column in columns)]) + kind


def _clock(second: int) -> str:
    return datetime.fromtimestamp(second, IST).strftime("%H:%M:%S")
