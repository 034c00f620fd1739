"""`manage.py demo`: a simulated session through the whole pipeline, with real processes, to watch or for a script."""

from __future__ import annotations

import secrets
import sys
from datetime import date, datetime
from pathlib import Path

import click

from commands.demo.plan import FULL, SHORT, PlanError, asked_stretch, make_plan
from commands.demo.run import DemoOptions, run_demo
from commands.shared.console import load_settings
from commands.shared.terminal import Terminal
from utils.runtime.lifecycle import StopRequest


@click.command()
@click.option("--session", "session", type=click.DateTime(["%Y-%m-%d"]), default="2026-11-20", show_default=True)
@click.option(
    "--full", is_flag=True, help=f"The whole day, {FULL.start} to {FULL.until} at {FULL.speed:g} times real speed."
)
@click.option("--from", "start", help=f"Market time to begin at, HH:MM.  [default: {SHORT.start}]")
@click.option("--until", help=f"Market time to end at, HH:MM.  [default: {SHORT.until}]")
@click.option("--speed", type=float, help=f"Market seconds in a real second.  [default: {SHORT.speed:g}]")
@click.option("--instruments", type=int, default=50, show_default=True, help="How many to trade.")
@click.option("--faults", default="usual", show_default=True, help="What goes wrong on the wire: see the simulator.")
@click.option("--seed", type=int, default=None, help="The same seed gives the same market.  [default: by chance]")
@click.option("--no-view", is_flag=True, help="A progress line now and then instead of the live view.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the closing figures here.")
@click.option("--directory", type=click.Path(path_type=Path), help="Keep journal, logs and data here.")
@click.option("--history-first", is_flag=True, help="Indicators warm at the first candle, which comes later for it.")
@click.option("--stay", is_flag=True, help="Leave Redis and MongoDB running at the end, until Enter or Ctrl-C.")
@click.option("--record", type=click.Path(path_type=Path), help="Have the simulator record what it sends here.")
def command(
    *,
    session: datetime,
    full: bool,
    start: str | None,
    until: str | None,
    speed: float | None,
    instruments: int,
    faults: str,
    seed: int | None,
    no_view: bool,
    json_file: Path | None,
    directory: Path | None,
    history_first: bool,
    stay: bool,
    record: Path | None,
) -> None:
    """Play an hour and a half of a simulated session through the whole pipeline, in about three minutes.

    Starts an embedded Redis and MongoDB (or uses those that REDIS_URL and MONGO_URL name), the simulated exchange and
    the three processes, shows what happens, and ends everything. Live data is never touched.
    """
    stop = StopRequest()
    stop.listen()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    begin, end = asked_stretch(start, until, full)
    speed = (FULL if full else SHORT).speed if speed is None else speed
    try:
        plan = make_plan(_day(session), begin, end, speed, instruments, faults, seed)
    except PlanError as error:
        raise click.UsageError(str(error)) from None
    settings = load_settings(_env_file=None)
    options = DemoOptions(
        _absolute(directory), _absolute(record), _absolute(json_file), history_first, stay, settings
    )
    sys.exit(run_demo(plan, options, Terminal(with_view=not no_view), stop))


def _day(moment: datetime) -> date:
    return moment.date()


def _absolute(path: Path | None) -> Path | None:
    """The processes run elsewhere: a relative path must not mean another place to them."""
    return path.resolve() if path is not None else None
