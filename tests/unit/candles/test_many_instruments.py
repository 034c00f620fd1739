"""One shard with so many instruments that the kernel asks for rows ahead gives what small shards give together."""

from __future__ import annotations

import random
from datetime import date

import numpy as np

from tests.shared.engine_candles import engine_candles
from tests.shared.shown_candles import shown_candles
from utils.candles.engine import CandleEngine
from utils.candles.kernels.layout import Rules
from utils.candles.kernels.prefetch import CACHED_CANDLES
from utils.journal.entries import Entry, EntryId, Kind, subscribed_mark
from utils.kite.frames import FULL, pack_frame
from utils.market.candle import Candle
from utils.market.instruments import Instrument, SessionClass
from utils.market.sessions import Session
from utils.market.timeframes import parse_timeframes

TIMEFRAMES = parse_timeframes("5s,10s,30s,1m,2m,5m,1d")
COUNT, GROUPS = 630, 9
OPEN_MS = 1_795_146_300_000
RULES = Rules(1_000, 5_000, 20, 2.5, 4.0, 1, 5.0, 3)


class OneSession:
    def for_instrument(self, instrument: Instrument, day: date) -> Session | None:
        return Session(day, OPEN_MS, OPEN_MS + 22_500_000, OPEN_MS, OPEN_MS + 22_500_000)

    def is_known(self, day: date) -> bool:
        return day.year > 2000


def instruments() -> list[Instrument]:
    return [
        Instrument((700 + 37 * n) << 8 | 1, "NSE", f"S{n}", "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
        for n in range(COUNT)
    ]


def packet(token: int, at_s: int, price: int, volume: int) -> bytes:
    packet = np.zeros(1, FULL)
    packet["token"], packet["last_price"], packet["volume"] = token, price, volume
    packet["last_trade_time"] = packet["exchange_time"] = at_s
    return packet.tobytes()


def frames(dice: random.Random) -> list[Entry]:
    """Full frames, small ones, some cut off and some with a packet of no known length or token."""
    named, made = instruments(), []
    prices, volumes = [dice.randrange(5_000, 90_000) for _ in named], [1_000] * COUNT
    for index in range(600):
        at_ms = OPEN_MS - 1_000 + 150 * index
        packets = []
        for row in dice.sample(range(COUNT), dice.choice([1, 2, 3, 4, 60])):
            prices[row] += dice.randrange(-20, 21)
            volumes[row] += dice.randrange(0, 50)
            packets.append(packet(named[row].token, at_ms // 1000, prices[row], volumes[row]))
        if dice.random() < 0.1:
            packets.insert(dice.randrange(len(packets) + 1), dice.randbytes(dice.choice([0, 1, 5, 8, 184])))
        frame = pack_frame(packets)
        if dice.random() < 0.1:
            frame = frame[: dice.randrange(len(frame))]
        made.append(Entry(EntryId(at_ms, 0), Kind.FRAME, frame))
    return made


def run(named: list[Instrument], entries: list[Entry], batch: int) -> tuple[list[Candle], list[Candle]]:
    engine = CandleEngine(TIMEFRAMES, RULES, 30, OneSession())
    mark = Entry(EntryId(OPEN_MS - 2_000, 0), Kind.MARK, subscribed_mark("full", named))
    closed = engine_candles(engine.process([mark]))
    for at in range(0, len(entries), batch):
        closed += engine_candles(engine.process(entries[at : at + batch]))
    return [closed_candle.candle for closed_candle in closed], [candle for candle, _ in shown_candles(engine)]


def key(candle: Candle) -> tuple[str, int]:
    return candle.id, candle.rev


def test_rows_asked_for_ahead_change_nothing() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    entries, named = frames(random.Random(seed)), instruments()
    assert COUNT * len(TIMEFRAMES) > CACHED_CANDLES > COUNT // GROUPS * len(TIMEFRAMES)
    parts = [run(named[n::GROUPS], entries, 40) for n in range(GROUPS)]
    for batch in (1, 40):
        closed, shown = run(named, entries, batch)
        assert sorted(closed, key=key) == sorted((instrument for part, _ in parts for instrument in part), key=key)
        assert sorted(shown, key=key) == sorted((instrument for _, part in parts for instrument in part), key=key)
    assert len(closed) > 3_000
