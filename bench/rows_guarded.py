"""Row 4, last part: hashes written only where nothing newer is, beside the plain form: Redis' time for each."""

from __future__ import annotations

from collections.abc import Callable

from bench.measure import Log, Side, interleaved
from bench.processes import Stage, cpu_seconds
from bench.results import Row
from utils.journal.entries import EntryId
from utils.stores.guarded_writes import GuardedWrites
from utils.stores.redis_connection import OwnConnection, pack

HASHES = 1_000
FIELDS = (4, 19)  # of a candle that got a tick, and of a full candle
DEAREST = 0.8  # of the plain form's rate, at least
MICROSECONDS = 1e6


def guarded_rows(stage: Stage, rounds: int, repetitions: int, log: Log) -> list[Row]:
    """`rounds` writes of HASHES hashes in each repetition."""
    log("4. guarded writes beside plain ones")
    return [_row(stage, fields, rounds, repetitions) for fields in FIELDS]


def _row(stage: Stage, fields: int, rounds: int, repetitions: int) -> Row:
    packed = b"".join(_command(number, fields) for number in range(HASHES))
    own, guarded = OwnConnection(stage.client), GuardedWrites(stage.client, f"bench:written:{fields}")

    def plain() -> None:
        own.send(packed, HASHES)
        own.settle()

    def guard() -> None:
        guarded.write(packed, HASHES, EntryId(1, 0))
        guarded.settle()

    pid = stage.pids["redis"]
    figures = interleaved({"ours": _side(guard, rounds, pid), "plain": _side(plain, rounds, pid)}, repetitions)
    own.forget()
    guarded.forget()
    return Row(
        part="4",
        name=f"a hash of {fields} fields, written unless newer is there",
        unit="µs of Redis",
        ours=figures["ours"],
        peers={"plain": figures["plain"]},
        targets={"plain": DEAREST},
        higher_is_better=False,
        note=f"{HASHES} in one transaction under a WATCH; plain: the same HSETs in one pipeline",
    )


def _command(number: int, fields: int) -> bytes:
    words = [word for field in range(fields) for word in (f"field{field}", f"{1_210 + field}.05")]
    return pack("HSET", f"bench:candle:NSE:S{number:05d}:5m", *words)


def _side(write: Callable[[], None], rounds: int, pid: int) -> Side:
    def measure() -> float:
        before = cpu_seconds(pid)
        for _ in range(rounds):
            write()
        return (cpu_seconds(pid) - before) / rounds / HASHES * MICROSECONDS

    return measure
