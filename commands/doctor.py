"""`manage.py doctor`: what is wrong with the data, in plain words; the containers' health check, too.

Starts in a fraction of a second: pandas, numpy and numba are never imported from here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
import redis

from commands.console import load_calendar, load_settings
from commands.diagnosis import diagnose, moment_of
from commands.diagnosis_hours import hours_findings
from commands.diagnosis_journal import journal_findings
from commands.diagnosis_machine import machine_findings, memory_of_machine
from commands.diagnosis_settings import settings_findings
from commands.diagnosis_stores import redis_findings, refused_findings
from commands.findings import CANDLE_WORKER, CONNECTOR, PROCESSES, SIGNAL_WORKER, Finding, Limits
from utils.feed import EntryId
from utils.health import read_health
from utils.keys import Keys
from utils.sessions import ist_date
from utils.stores.redis_connection import open_redis
from utils.stores.redis_failure import failure_of
from utils.stores.redis_server import read_info


@click.command()
@click.option("--process", type=click.Choice(PROCESSES), help="Only this one, as a container's health check.")
@click.option(
    "--frame-seconds",
    type=float,
    default=Limits().frame_seconds,
    show_default=True,
    help="Oldest last frame allowed.",
)
@click.option(
    "--lag-seconds", type=float, default=Limits().lag_seconds, show_default=True, help="Longest lag allowed."
)
def command(process: str | None, frame_seconds: float, lag_seconds: float) -> None:
    """Say in plain words what is wrong with the data, if anything; exit code 1 when something is.

    Looks at what each process last reported: in trading hours the last frame must be recent, the workers close
    behind, and MongoDB fed.
    """
    settings = load_settings()
    processes = (process,) if process else PROCESSES
    client, keys = open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix)
    try:
        about_redis = list(redis_findings(read_info(client)))
        reports = read_health(client, keys)
        unread_since_ms = _unread_since_ms(client, keys, reports)
    except redis.RedisError as error:
        click.echo(f"PROBLEM  {failure_of(error).sentence}")
        sys.exit(1)
    clock = settings.market_clock
    calendar, now_ms = load_calendar(settings), clock.now_ms()
    moment = moment_of(settings.symbols, now_ms, clock.speed, calendar)
    limits = Limits(frame_seconds=frame_seconds, lag_seconds=lag_seconds)
    workers = set(processes) & {CANDLE_WORKER, SIGNAL_WORKER}
    findings = [*about_redis, *refused_findings(reports, sorted(workers))]
    findings += diagnose(reports, unread_since_ms, processes, moment, limits)
    findings += settings_findings(settings)
    findings += machine_findings(settings.memory_limits, memory_of_machine())
    file, worker = settings.sessions_local_file, reports.get(CANDLE_WORKER, {})
    about_hours = hours_findings(worker, settings.symbols, calendar, ist_date(now_ms), file)
    findings += [one for one in about_hours if one.process in processes]
    if CONNECTOR in processes:
        findings += journal_findings(reports.get(CONNECTOR, {}))
    _say(findings, processes, in_session=moment.in_session)
    sys.exit(1 if any(one.is_problem for one in findings) else 0)


def _unread_since_ms(client: redis.Redis, keys: Keys, reports: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """By worker, when the oldest entry came that lies beyond its position (`position_<shard>` in its report)."""
    streams = {CANDLE_WORKER: keys.ticks, SIGNAL_WORKER: keys.closed}
    since: dict[str, int] = {}
    for process, stream in streams.items():
        for field, position in reports.get(process, {}).items():
            head, _, shard = field.rpartition("_")
            if head == "position":
                unread: Any = client.xrange(stream(int(shard)), min=f"({position}", count=1)
                if unread:
                    since[process] = min(since.get(process, sys.maxsize), EntryId.parse(unread[0][0]).ms)
    return since


def _say(findings: list[Finding], processes: tuple[str, ...], in_session: bool) -> None:
    for one in findings:
        click.echo(f"{'PROBLEM' if one.is_problem else 'note   '}  {one.process}: {one.sentence}")
    if not any(one.is_problem for one in findings):
        hours = "in trading hours" if in_session else "outside trading hours"
        click.echo(f"All is well with {', '.join(processes)} ({hours}).")
