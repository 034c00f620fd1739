"""`manage.py doctor`: what is wrong with the data, in plain words; the containers' health check, too.

Starts in a fraction of a second: pandas, numpy and numba are never imported from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
import redis

from commands.doctor.diagnosis import diagnose, moment_of
from commands.doctor.findings import (
    CANDLE_WORKER,
    CONNECTOR,
    PROCESSES,
    SIGNAL_WORKER,
    Finding,
    Limits,
    Moment,
    Reports,
)
from commands.doctor.hours import hours_findings
from commands.doctor.journal import journal_findings
from commands.doctor.machine import machine_findings, memory_of_machine, redis_room_findings
from commands.doctor.settings import settings_findings
from commands.doctor.stores import redis_findings, refused_findings, wrong_type_findings
from commands.doctor.workers import left_shard_findings
from commands.shared.console import load_calendar, load_settings
from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import Settings
from utils.stores.health import read_health
from utils.stores.key_types import WrongType, types_of, wrong_types
from utils.stores.old_layout import old_keys_sentence
from utils.stores.redis_connection import open_redis
from utils.stores.redis_failure import failure_of
from utils.stores.redis_server import Info, read_info


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
    """Report in plain words what is wrong with the data, if anything; exit code 1 when something is.

    Looks at what each process last reported: in trading hours the last frame must be recent, the workers close
    behind, and MongoDB fed.
    """
    settings = load_settings()
    processes = (process,) if process else PROCESSES
    try:
        reading = _read(settings, processes)
    except redis.RedisError as error:
        click.echo(f"PROBLEM  {failure_of(error).sentence}")
        sys.exit(1)
    calendar, clock = load_calendar(settings), settings.market_clock
    moment = moment_of(settings.symbols, clock.now_ms(), clock.speed, calendar)
    limits = Limits(frame_seconds=frame_seconds, lag_seconds=lag_seconds)
    findings = list(_findings(reading, settings, processes, calendar, moment, limits))
    _print_findings(findings, processes, in_session=moment.in_session)
    sys.exit(1 if any(finding.is_problem for finding in findings) else 0)


class _Reading(NamedTuple):
    """What Redis has: INFO (None where it may not be asked), what an update left, keys of another type, reports,
    what nobody has read."""

    info: Info | None
    old_keys: str
    wrong: Mapping[str, list[WrongType]]
    reports: Reports
    unread_since_ms: Mapping[str, int]


def _read(settings: Settings, processes: Sequence[str]) -> _Reading:
    client, keys = open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix)
    info = read_info(client)
    user = client.connection_pool.connection_kwargs.get("username")
    asked = [
        process for process in processes if user not in PROCESSES or process == user
    ]  # a process's user has no other's keys
    wrong = {process: wrong_types(client, types_of(keys, process, range(settings.shards))) for process in asked}
    old_keys = old_keys_sentence(client, keys)
    if any(wrong.values()):  # what they hold cannot be read
        return _Reading(info, old_keys, wrong, _reports_beside(client, keys), {})
    reports = read_health(client, keys)
    return _Reading(info, old_keys, wrong, reports, _unread_since_ms(client, keys, reports))


def _reports_beside(client: redis.Redis, keys: Keys) -> Reports:
    """As `read_health`, where the keys of the reports themselves may be of another type."""
    try:
        return read_health(client, keys)
    except redis.ResponseError:
        return {}


def _findings(
    reading: _Reading,
    settings: Settings,
    processes: Sequence[str],
    calendar: SessionCalendar,
    moment: Moment,
    limits: Limits,
) -> Iterator[Finding]:
    """Of all topics, in the order in which they are shown."""
    reports = reading.reports
    yield from redis_findings(reading.info, reading.old_keys)
    yield from wrong_type_findings(reading.wrong)
    yield from refused_findings(reports, processes)
    yield from diagnose(reports, reading.unread_since_ms, processes, moment, limits)
    yield from settings_findings(settings)
    yield from machine_findings(settings.memory_limits, memory_of_machine())
    yield from redis_room_findings(settings.memory_limits, reading.info)
    today, worker = ist_date(moment.now_ms), reports.get(CANDLE_WORKER, {})
    if CANDLE_WORKER in processes:
        yield from left_shard_findings(worker, Keys(settings.redis_prefix))
    about_hours = hours_findings(worker, settings.symbols, calendar, today, settings.sessions_local_file)
    yield from (finding for finding in about_hours if finding.process in processes)
    if CONNECTOR in processes:
        yield from journal_findings(reports.get(CONNECTOR, {}), moment)


def _unread_since_ms(client: redis.Redis, keys: Keys, reports: Reports) -> dict[str, int]:
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


def _print_findings(findings: Sequence[Finding], processes: Sequence[str], in_session: bool) -> None:
    for finding in findings:
        click.echo(f"{'PROBLEM' if finding.is_problem else 'note   '}  {finding.process}: {finding.sentence}")
    if not any(finding.is_problem for finding in findings):
        hours = "in trading hours" if in_session else "outside trading hours"
        click.echo(f"All is well with {', '.join(processes)} ({hours}).")
