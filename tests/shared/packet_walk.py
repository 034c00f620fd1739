"""One row's packets beside its trades: a plain walk over both fails where a field is not what the tape has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

MIDNIGHT_S = 1795113000  # 2026-11-20T00:00:00+05:30


@dataclass
class State:
    price: int = 0
    quantity: int = 0
    volume: int = 0
    turnover: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    last_ms: int = 0


def states_of(trades: Any) -> list[State]:
    """Of one row: before the first trade, after the first, and so on."""
    states = [State()]
    for at_ms, price, quantity in zip(
        trades.ms.tolist(), trades.price.tolist(), trades.quantity.tolist(), strict=True
    ):
        before = states[-1]
        states.append(
            State(
                price,
                quantity,
                before.volume + quantity,
                before.turnover + quantity * price,
                before.open or price,
                max(before.high, price),
                min(before.low or price, price),
                at_ms,
            )
        )
    return states


class PacketWalk:
    """One row's packets, one after the other, beside its trades; counts what is special about them."""

    def __init__(self, trades: Any) -> None:
        self._states = states_of(trades)
        self._count_of_volume = {state.volume: count for count, state in enumerate(self._states)}
        self._traded: int | None = 0
        self._leading: int | None = None
        self.counted: Counter[str] = Counter()

    def jump(self) -> None:
        """Packets are missing here: what the next one shows may be new or not."""
        self._traded = self._leading = None

    def follow(self, record: Any) -> None:
        traded = self._count_of_volume[int(record["volume"])]
        before = traded if self._traded is None else self._traded
        state, second = self._states[traded], int(record["exchange_time"])
        assert traded >= before, "the volume fell"
        self._check_rest(record, state)
        self._check_time(state, traded, second)
        shown_range = (int(record["day_high"]), int(record["day_low"]))
        assert shown_range in {_range(self._states[count]) for count in self._ranges(traded, before)}
        leads = self._check_price(record, traded, before, second)
        self.counted["new"] += traded > before
        self.counted["outside its range"] += traded > before and not shown_range[1] <= state.price <= shown_range[0]
        self.counted["seconds behind"] = max(
            self.counted["seconds behind"], second - state.last_ms // 1000 if traded > before else 0
        )
        self._traded, self._leading = traded, leads

    def _check_rest(self, record: Any, state: State) -> None:
        average = state.turnover // state.volume if state.volume else 0
        assert (record["average_price"], record["day_open"]) == (average, state.open)
        if state.open:
            assert record["last_trade_time"] == state.last_ms // 1000
        else:
            assert record["last_trade_time"] < MIDNIGHT_S

    def _check_time(self, state: State, traded: int, second: int) -> None:
        """No trade is shown before it was, nor more than 8 s after."""
        assert state.last_ms < (second + 1) * 1000
        if traded + 1 < len(self._states):
            assert self._states[traded + 1].last_ms >= (second - 8) * 1000

    def _check_price(self, record: Any, traded: int, before: int, second: int) -> int | None:
        """After how many trades the price is that comes first, if this packet leads with one."""
        price, quantity = int(record["last_price"]), int(record["last_quantity"])
        if self._leading is not None:
            assert traded > before, "the packet after one that leads brings the trade"
            self.counted["gone"] += price != self._states[self._leading].price
        state = self._states[traded]
        if (price, quantity) == (state.price or int(record["previous_close"]), state.quantity):
            return None
        assert traded == before, "a packet that leads has nothing else that is new"
        coming = [count for count in range(traded + 1, traded + 40) if self._was(count, (second + 1) * 1000)]
        shown = [(self._states[count].price, self._states[count].quantity) for count in coming]
        assert (price, quantity) in shown, "a price that no trade had"
        self.counted["leads"] += 1
        self.counted["leads with another price"] += price != state.price
        return coming[shown.index((price, quantity))]

    def _was(self, count: int, before_ms: int) -> bool:
        return count < len(self._states) and self._states[count].last_ms < before_ms

    def _ranges(self, traded: int, before: int) -> list[int]:
        """After how many trades the day range may be: a trade or a look behind where one is newer than what led."""
        if self._traded is None:
            return [traded - 1, traded]
        if traded in (before, self._leading):
            return [traded]
        return [traded - 1 or traded, before or traded]


def _range(state: State) -> tuple[int, int]:
    return state.high, state.low
