"""The packets around a position: what the engine received when it refused a trade or accepted a bad print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from tests.measures.played_day import PlayedDay
from utils.market.ist import IST

HEADING = "    exchange  traded    price    qty   volume   low      high     bid      ask"


def shown_examples(played: PlayedDay, positions: Sequence[int], most: int) -> Iterator[str]:
    """Lines for the first `most` positions in SentPackets: symbol, and the packets from 3 before to 3 after."""
    for at in positions[:most]:
        row = int(played.sent.row[at])
        universe = played.tape.universe
        yield f"  {universe.instruments[row].symbol}, tick {universe.tick_wire[row]}"
        yield HEADING
        mine = np.flatnonzero(played.sent.row == row)
        index = int(np.searchsorted(mine, at))
        for token in mine[max(0, index - 3) : index + 4].tolist():
            yield f"{' >>' if token == at else '   '} {_packet(played, token)}"


def _packet(played: PlayedDay, at: int) -> str:
    sent = played.sent
    times = [_clock(int(sent.exchange_s[at])), _clock(int(sent.trade_s[at]))]
    columns = (sent.price, sent.quantity, sent.volume, sent.day_low, sent.day_high, sent.bid, sent.ask)
    kind = "" if sent.true[at] else " misprinted" if sent.misprinted[at] else " faulty"
    return "  ".join([*times, *(f"{int(column[at]):<7}" for column in columns)]) + kind


def _clock(second: int) -> str:
    return datetime.fromtimestamp(second, IST).strftime("%H:%M:%S")
