"""A signal worker whose file takes no lines: what was published is in it in the end, once, whoever writes it.

The file is refused in earnest: a folder has its name, or another process holds its lock.
"""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract.test_signal_worker_shared import SHARDS, crew
from tests.shared.closed_candles import ClosedCandle, past_and_day, publish_closed
from tests.shared.servers import ServerUrls, both_servers
from tests.shared.signal_worker_process import World, by_id, wait_for, world
from utils.indicators.kernels import STATE_DTYPE
from utils.indicators.snapshot import unpack
from utils.keys import SIGNALS_FILE_GROUP

PAST, DAY = past_and_day()
SHARDS_OF_ONE = 2
THREE_DAY = past_and_day(shards=SHARDS)[1]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUrls]:
    with both_servers(tmp_path_factory.mktemp("servers")) as urls:
        yield urls


def day_file(world: World) -> Path:
    return world.folder / "logs" / "signals_2026-01-02.jsonl"


def logged(world: World) -> str:
    return (world.folder / "stderr").read_text()


def publish(world: World, entries: list[ClosedCandle]) -> None:
    """All of these are processed, and a snapshot is behind them."""
    publish_closed(world.client, world.keys, entries)
    world.wait_until_at(entries)
    last = {entry.shard: entry.entry_id for entry in entries}
    wait_for(lambda: all(saved_at(world, shard) == last[shard] for shard in last), "the snapshots")


def has_acknowledged_nothing(world: World) -> bool:
    groups: list[Any] = []
    for shard in range(SHARDS_OF_ONE):
        found: Any = world.client.xinfo_groups(world.keys.signals(shard))
        groups += [group for group in found if group["name"] == SIGNALS_FILE_GROUP.encode()]
    return sum(int(group["pending"]) + int(group["lag"]) for group in groups) == len(world.in_stream())


def saved_at(world: World, shard: int) -> str:
    packed: Any = world.client.get(world.keys.signal_state(shard))
    header, _ = unpack(packed, [STATE_DTYPE, np.dtype(np.float64)])
    return str(header["caller"]["positions"][str(shard)])


def is_whole(world: World) -> bool:
    """Whether everything that was published is in the file."""
    published = by_id(world.in_stream())
    return len(published) > 20 and day_file(world).is_file() and by_id(world.in_files()) == published


@contextmanager
def running(servers: ServerUrls, folder: Path, name: str) -> Iterator[World]:
    with world(servers, folder, name, PAST) as run:
        day_file(run).mkdir(parents=True)
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        yield run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_refused_is_written_by_the_next_start(
    servers: ServerUrls, tmp_path: Path, number: signal.Signals
) -> None:
    with running(servers, tmp_path / "refused", f"refused{number}") as run:
        publish(run, DAY)
        wait_for(lambda: run.health()["file_waiting"] == str(len(run.in_stream())), "all of them wait")
        assert has_acknowledged_nothing(run)
        run.end(number)
        assert ("the next start writes them" in logged(run)) == (number == signal.SIGTERM)
        day_file(run).rmdir()
        run.start()
        wait_for(lambda: is_whole(run), "the file has all that was published", 20)
        wait_for(lambda: run.health().get("file_waiting") == "0", "nothing waits")
        assert run.health()["file_lost"] == "0"
        assert run.end() == 0
        assert is_whole(run)
        assert logged(run).count("started anew") == SHARDS_OF_ONE  # the snapshot was not put off


def test_it_is_written_when_it_can_be_though_nothing_more_is_published(servers: ServerUrls, tmp_path: Path) -> None:
    with running(servers, tmp_path / "mended", "mended") as run:
        publish(run, DAY)
        wait_for(lambda: "LOG_DIR's file takes no signals" in logged(run), "the log has it")
        day_file(run).rmdir()
        wait_for(lambda: is_whole(run), "the file has all that was published", 20)
        wait_for(lambda: run.health()["file_waiting"] == "0", "nothing waits")
        assert run.end() == 0
        assert is_whole(run)
        assert logged(run).count("LOG_DIR's file takes no signals") == SHARDS_OF_ONE


def test_a_lock_that_another_process_never_lets_go_costs_no_line(servers: ServerUrls, tmp_path: Path) -> None:
    with world(servers, tmp_path / "locked", "locked", PAST) as run:
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish(run, DAY[:900])
        wait_for(lambda: len(run.in_files()) == len(run.in_stream()) > 0, "it begins well")
        with day_file(run).open("rb") as hanging:
            fcntl.flock(hanging, fcntl.LOCK_EX)
            publish(run, DAY[900:])
            assert len(run.in_files()) < len(run.in_stream())
            assert run.end() == 0
        run.start()
        wait_for(lambda: is_whole(run), "the file has all that was published", 20)
        assert run.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_shard_that_changes_hands_takes_its_lines_along(
    servers: ServerUrls, tmp_path: Path, number: signal.Signals
) -> None:
    """Given up to one that comes, and taken over from one that goes; whoever published a signal never writes it."""
    with crew(servers, tmp_path / "handed", f"handed{number}") as made:
        run = made.world
        day_file(run).mkdir(parents=True)
        first = made.start()
        made.wait_until_shared()
        publish(run, THREE_DAY)
        made.start()
        made.wait_until_shared()
        made.end(first, number)
        made.wait_until_shared()
        day_file(run).rmdir()
        wait_for(lambda: is_whole(run), "the file has all that was published", 20)
        made.end_all()
        assert is_whole(run)
