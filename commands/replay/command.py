"""`manage.py replay`: a recorded day through the same workers, under keys and in a database of its own."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from commands.replay.run import ReplayPlan, run_replay
from commands.shared.console import load_settings
from commands.shared.journal_feed import recorded_files
from commands.shared.terminal import Terminal
from utils.runtime.lifecycle import StopRequest
from utils.runtime.settings import Settings


@click.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--speed", default="max", show_default=True, help="`max`, or market seconds in a real second.")
@click.option(
    "--prefix", default="replay:", show_default=True, help="What every Redis key of the replay begins with."
)
def command(day: datetime, speed: str, prefix: str) -> None:
    """Work through a recorded day again with the candle worker and the signal worker.

    DAY (YYYY-MM-DD) is read from JOURNAL_DIR. The results go to keys under the prefix and to the database
    <MONGO_DB>_replay; what an earlier replay left there is cleared first. Live data is never touched.
    """
    stop = StopRequest()
    stop.listen()
    settings = load_settings()
    plan = ReplayPlan(
        day=day.date(),
        speed=_speed(speed),
        prefix=_checked_prefix(prefix, settings),
        files=recorded_files(settings.journal_dir, day.date()),
    )
    sys.exit(run_replay(plan, settings, Terminal(with_view=True), stop))


def _speed(text: str) -> float:
    """0 for `max`."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.UsageError(f"--speed: {text!r} is neither 'max' nor a number above 0.")
    return speed


def _checked_prefix(prefix: str, settings: Settings) -> str:
    if not prefix or prefix == settings.redis_prefix:
        raise click.UsageError(f"--prefix: {prefix!r} is that of live data (REDIS_PREFIX): choose another.")
    if settings.redis_prefix.startswith(prefix):
        raise click.UsageError(f"--prefix: live keys begin with {prefix!r} too (REDIS_PREFIX): choose another.")
    return prefix
