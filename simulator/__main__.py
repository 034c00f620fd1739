"""`python -m simulator`: one JSON line on stdout when ready, everything else on stderr."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson

from simulator.access import Access
from simulator.control import status_of
from simulator.exchange import Exchange, Options, market_start_ms
from simulator.faults import parse_faults
from simulator.jumps import Market
from simulator.server import serve
from simulator.universe import build_universe
from utils.market.clock import REAL_TIME, MarketClock, parse_market_clock
from utils.market.sessions import SessionCalendar

EXIT_BAD_OPTIONS = 2


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0: a free one, named on stdout.")
@click.option(
    "--session", "session_text", default="2026-11-20", show_default=True, help="Day whose contracts are listed."
)
@click.option("--instruments", default=200, show_default=True, help="How many, 5 to 27000.")
@click.option("--seed", default=1, show_default=True)
@click.option("--faults", default="none", show_default=True, help="Comma-separated names, or all, usual, none.")
@click.option(
    "--market",
    default=Market.CALM.value,
    show_default=True,
    type=click.Choice([market.value for market in Market]),
    help="jumping: options and stocks go to a new level now and then.",
)
@click.option("--record", type=click.Path(path_type=Path, file_okay=False), help="Record all that is sent.")
@click.option("--access-token", default="demo-token", show_default=True)
@click.option("--api-key", default="", help="Accept only this api key (default: any).")
@click.option("--api-secret", default="demo-secret", show_default=True)
@click.option(
    "--history-per-second", default=3.0, show_default=True, help="The broker's limit on historical requests."
)
@click.option(
    "--others-per-second", default=10.0, show_default=True, help="Its limit on requests of no special kind."
)
def main(**options: Any) -> None:
    """An exchange that speaks Kite's WebSocket and REST. MARKET_CLOCK sets its time."""
    try:
        exchange = _open(options)
    except ValueError as error:
        click.echo(f"simulator: {error}", err=True)
        sys.exit(EXIT_BAD_OPTIONS)
    click.echo(
        f"simulator: seed {options['seed']}, {len(exchange.universe)} instruments, clock {exchange.clock}", err=True
    )
    try:
        asyncio.run(serve(exchange, options["host"], options["port"], lambda port: _print_ready(exchange, port)))
    except OSError as error:
        click.echo(f"simulator: port {options['port']} cannot be opened ({error}): choose another", err=True)
        sys.exit(1)
    click.echo(f"simulator: {orjson.dumps(status_of(exchange)).decode()}", err=True)


def _open(options: dict[str, Any]) -> Exchange:
    calendar = SessionCalendar.load()
    day = datetime.fromisoformat(options["session_text"]).date()
    universe = build_universe(options["instruments"], options["seed"], calendar, day)
    clock = parse_market_clock(os.environ.get("MARKET_CLOCK", ""))
    if clock is REAL_TIME:
        clock = MarketClock(market_start_ms(day), 1.0, time.time_ns() // 1_000_000)
    access = Access(options["api_key"], options["api_secret"], options["access_token"])
    limits = (options["history_per_second"], options["others_per_second"])
    how = Options(
        options["seed"], parse_faults(options["faults"]), options["record"], *limits, Market(options["market"])
    )
    return Exchange(universe, calendar, clock, access, how)


def _print_ready(exchange: Exchange, port: int) -> None:
    line = {"port": port, "seed": exchange.options.seed, "market_clock": str(exchange.clock)}
    click.echo(orjson.dumps(line).decode())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
