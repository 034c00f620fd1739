"""Readiness and progress, read from the health reports."""

from __future__ import annotations

from collections.abc import Mapping

from commands.shared.processes import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER
from utils.journal.entries import ZERO_ID, EntryId

RUNNING = "running"
_ANSWERS = 2

Reports = Mapping[str, Mapping[str, str]]


def candles_wait_for(reports: Reports, instruments: int) -> list[str]:
    """What is missing before every tick becomes part of a candle, in words; empty when nothing is.

    That the candle worker knows all instruments proves that the connector has asked for them; that it has their
    cached packets, those of the subscription and those of its mode, that the exchange has answered.
    """
    waits = _unreported(reports, CONNECTOR, CANDLE_WORKER)
    worker = reports.get(CANDLE_WORKER, {})
    known, packets = int(worker.get("instruments", 0)), int(worker.get("packets", 0))
    if not waits and known < instruments:
        waits.append(f"{known} of {instruments} instruments are subscribed")
    elif not waits and packets < _ANSWERS * instruments:
        waits.append(f"{packets} of {_ANSWERS * instruments} cached packets have come")
    return waits


def signals_wait_for(reports: Reports) -> list[str]:
    """What is missing before closed candles are evaluated, in words; empty when nothing is."""
    state = reports.get(SIGNAL_WORKER, {}).get("state", RUNNING)
    waits = _unreported(reports, SIGNAL_WORKER)
    return waits if state == RUNNING else [*waits, f"the signal worker is {state}"]


def workers_ready(reports: Reports) -> bool:
    """Whether both workers would take what is sent to them."""
    return not _unreported(reports, CANDLE_WORKER) and not signals_wait_for(reports)


def _unreported(reports: Reports, *processes: str) -> list[str]:
    return [f"the {name.replace('_', ' ')} has not reported yet" for name in processes if name not in reports]


def position_of(reports: Reports, process: str, shard: int) -> EntryId:
    """The last entry that a worker has taken of a shard; 0-0 before the first."""
    text = reports.get(process, {}).get(f"position_{shard}", "")
    return EntryId.parse(text) if text else ZERO_ID
