"""What the engine has to reach on the simulator: nearly all that can be known, hardly a good trade refused,
hardly a bad print accepted.

The short form plays two small sessions, the long one full days of several seeds. Every failure shows its packets.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.faults import Fault
from simulator.jumps import Market
from tests.measures.engine_day import engine_day
from tests.measures.examples import shown_examples
from tests.measures.knowable_candles import knowable_candles
from tests.measures.passed_prints import passed_prints
from tests.measures.played_day import Plan, PlayedDay, played_day
from tests.measures.refused_trades import refused_trades
from tests.measures.tape_shares import engine_candles, tape_shares
from tests.shared.length import length
from utils.market.timeframes import parse_timeframes

SEEDS = length(short=(3,), long=(3, 5, 7))
INSTRUMENTS = length(short=60, long=200)
MINUTES = length(short=60, long=425)
FIRST_MINUTE = length(short=9 * 60 + 5, long=9 * 60)

LEAST_OF_THE_KNOWN = 0.99
MOST_REFUSED = 1 / 100_000
MOST_PASSED = 1 / 1_000
EXAMPLES = 3

pytestmark = pytest.mark.timeout(3600)


def _plan(seed: int) -> Plan:
    return Plan(seed, INSTRUMENTS, first_minute=FIRST_MINUTE, minutes=MINUTES)


@pytest.mark.parametrize("seed", SEEDS)
def test_nearly_every_candle_that_can_be_known_equals_the_tape(seed: int) -> None:
    played, names = played_day(_plan(seed)), "15s,1m,5m,15m"
    frames = list(parse_timeframes(names))
    found = tape_shares(played, frames, engine_candles(engine_day(played.entries, names)))
    known = tape_shares(played, frames, knowable_candles(played, frames))
    for name, share in found.items():
        print(f"\n  {played.plan}: {name} {share}\n  what can be known: {known[name]}", end="")
        assert share.equal >= LEAST_OF_THE_KNOWN * known[name].equal - 1, share.examples[:EXAMPLES]
        assert share.missing <= known[name].missing + share.true / 1_000
        assert share.extra == 0


@pytest.mark.parametrize("market", list(Market))
@pytest.mark.parametrize("seed", SEEDS)
def test_hardly_a_good_trade_is_refused(seed: int, market: Market) -> None:
    played = played_day(replace(_plan(seed), market=market))
    refused = refused_trades(played, engine_day(played.entries, "1m"))
    print(f"\n  {played.plan}: {refused}", end="")
    assert len(refused.at) <= MOST_REFUSED * refused.shown, _shown(played, refused.at)


@pytest.mark.parametrize("seed", SEEDS)
def test_hardly_a_bad_print_passes(seed: int) -> None:
    share = length(short=1 / 300, long=1 / 1_000)
    played = played_day(replace(_plan(seed), faults=frozenset(Fault), bad_print_share=share))
    engine, without = (engine_day(entries, "1m") for entries in (played.entries, played.without_misprints))
    passed = passed_prints(played, engine, without)
    print(f"\n  {played.plan}: {passed}", end="")
    assert len(passed.at) <= MOST_PASSED * passed.sent, _shown(played, passed.at)


def _shown(played: PlayedDay, positions: list[int]) -> str:
    return "\n".join(["", *shown_examples(played, positions, EXAMPLES)])
