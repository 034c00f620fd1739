"""`python -m tests.measures`: how close the engine comes to the tape, and what it refuses and accepts wrongly.

python -m tests.measures                               the full day of 80 instruments, some minutes
python -m tests.measures --minutes 60 --examples 5     an hour, with the packets around what went wrong
"""

from __future__ import annotations

from dataclasses import replace

import click

from simulator.faults import Fault
from simulator.jumps import Market
from tests.measures.engine_day import engine_day
from tests.measures.examples import shown_examples
from tests.measures.knowable_candles import knowable_candles
from tests.measures.passed_prints import passed_prints
from tests.measures.played_day import Plan, played_day
from tests.measures.refused_trades import refused_trades
from tests.measures.tape_shares import engine_candles, tape_shares
from utils.market.timeframes import parse_timeframes

TIMEFRAMES = "15s,1m,5m,15m,1h,1d"


@click.command()
@click.option("--seed", "seeds", multiple=True, type=int, default=(7,), show_default=True)
@click.option("--instruments", default=80, show_default=True)
@click.option("--minutes", default=425, show_default=True, help="From 09:00 on.")
@click.option("--bad-prints", default=200, show_default=True, help="One packet in this many is misprinted.")
@click.option("--examples", default=0, show_default=True, help="How many failures of each kind are shown.")
def main(seeds: tuple[int, ...], instruments: int, minutes: int, bad_prints: int, examples: int) -> None:
    """Play each seed on a calm, a jumping and a faulty market, and print three measures."""
    for seed in seeds:
        plan = Plan(seed, instruments, minutes=minutes, bad_print_share=1 / bad_prints)
        _measure_shares(plan, examples)
        _measure_refusals(plan, examples)
        _measure_refusals(replace(plan, market=Market.JUMPING), examples)
        _measure_prints(replace(plan, faults=frozenset(Fault)), examples)


def _measure_shares(plan: Plan, examples: int) -> None:
    played = played_day(plan)
    frames = list(parse_timeframes(TIMEFRAMES))
    shares = tape_shares(played, frames, engine_candles(engine_day(played.entries, TIMEFRAMES)))
    knowable = tape_shares(played, frames, knowable_candles(played, frames))
    print(f"equal to the tape: {plan}")
    for name, share in shares.items():
        print(f"  {name:4} {share}\n       what can be known: {knowable[name]}")
        for example in share.examples[:examples]:
            print(f"       {example}")


def _measure_refusals(plan: Plan, examples: int) -> None:
    played = played_day(plan)
    refused = refused_trades(played, engine_day(played.entries, "1m"))
    print(f"good trades refused: {plan}\n  {refused}")
    print(*shown_examples(played, refused.at, examples), sep="\n")


def _measure_prints(plan: Plan, examples: int) -> None:
    played = played_day(plan)
    engine, without = (engine_day(entries, "1m,1d") for entries in (played.entries, played.without_misprints))
    passed = passed_prints(played, engine, without)
    print(f"bad prints passed: {plan}\n  {passed}")
    print(*shown_examples(played, passed.at, examples), sep="\n")


if __name__ == "__main__":
    main()
