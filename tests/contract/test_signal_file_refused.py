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


def day_file(one: World) -> Path:
    return one.folder / "logs" / "signals_2026-01-02.jsonl"


def logged(one: World) -> str:
    return (one.folder / "stderr").read_text()


def publish(one: World, entries: list[ClosedCandle]) -> None:
    """All of these are processed, and a snapshot is behind them."""
    publish_closed(one.client, one.keys, entries)
    one.wait_until_at(entries)
    last = {one.shard: one.entry_id for one in entries}
    wait_for(lambda: all(saved_at(one, shard) == last[shard] for shard in last), "the snapshots")


def has_acknowledged_nothing(one: World) -> bool:
    groups: list[Any] = []
    for shard in range(SHARDS_OF_ONE):
        found: Any = one.client.xinfo_groups(one.keys.signals(shard))
        groups += [group for group in found if group["name"] == SIGNALS_FILE_GROUP.encode()]
    return sum(int(group["pending"]) + int(group["lag"]) for group in groups) == len(one.in_stream())


def saved_at(one: World, shard: int) -> str:
    packed: Any = one.client.get(one.keys.signal_state(shard))
    header, _ = unpack(packed, [STATE_DTYPE, np.dtype(np.float64)])
    return str(header["caller"]["positions"][str(shard)])


def is_whole(one: World) -> bool:
    """Whether everything that was published is in the file."""
    published = by_id(one.in_stream())
    return len(published) > 20 and day_file(one).is_file() and by_id(one.in_files()) == published


@contextmanager
def running(servers: ServerUrls, folder: Path, name: str) -> Iterator[World]:
    with world(servers, folder, name, PAST) as one:
        day_file(one).mkdir(parents=True)
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        yield one


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_refused_is_written_by_the_next_start(
    servers: ServerUrls, tmp_path: Path, number: signal.Signals
) -> None:
    with running(servers, tmp_path / "refused", f"refused{number}") as one:
        publish(one, DAY)
        wait_for(lambda: one.health()["file_waiting"] == str(len(one.in_stream())), "all of them wait")
        assert has_acknowledged_nothing(one)
        one.end(number)
        assert ("the next start writes them" in logged(one)) == (number == signal.SIGTERM)
        day_file(one).rmdir()
        one.start()
        wait_for(lambda: is_whole(one), "the file has all that was published", 20)
        wait_for(lambda: one.health().get("file_waiting") == "0", "nothing waits")
        assert one.health()["file_lost"] == "0"
        assert one.end() == 0
        assert is_whole(one)
        assert logged(one).count("started anew") == SHARDS_OF_ONE  # the snapshot was not put off


def test_it_is_written_when_it_can_be_though_nothing_more_is_published(servers: ServerUrls, tmp_path: Path) -> None:
    with running(servers, tmp_path / "mended", "mended") as one:
        publish(one, DAY)
        wait_for(lambda: "LOG_DIR's file takes no signals" in logged(one), "the log has it")
        day_file(one).rmdir()
        wait_for(lambda: is_whole(one), "the file has all that was published", 20)
        wait_for(lambda: one.health()["file_waiting"] == "0", "nothing waits")
        assert one.end() == 0
        assert is_whole(one)
        assert logged(one).count("LOG_DIR's file takes no signals") == SHARDS_OF_ONE


def test_a_lock_that_another_process_never_lets_go_costs_no_line(servers: ServerUrls, tmp_path: Path) -> None:
    with world(servers, tmp_path / "locked", "locked", PAST) as one:
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        publish(one, DAY[:900])
        wait_for(lambda: len(one.in_files()) == len(one.in_stream()) > 0, "it begins well")
        with day_file(one).open("rb") as hanging:
            fcntl.flock(hanging, fcntl.LOCK_EX)
            publish(one, DAY[900:])
            assert len(one.in_files()) < len(one.in_stream())
            assert one.end() == 0
        one.start()
        wait_for(lambda: is_whole(one), "the file has all that was published", 20)
        assert one.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_shard_that_changes_hands_takes_its_lines_along(
    servers: ServerUrls, tmp_path: Path, number: signal.Signals
) -> None:
    """Given up to one that comes, and taken over from one that goes; whoever published a signal never writes it."""
    with crew(servers, tmp_path / "handed", f"handed{number}") as made:
        one = made.world
        day_file(one).mkdir(parents=True)
        first = made.start()
        made.wait_until_shared()
        publish(one, THREE_DAY)
        made.start()
        made.wait_until_shared()
        made.end(first, number)
        made.wait_until_shared()
        day_file(one).rmdir()
        wait_for(lambda: is_whole(one), "the file has all that was published", 20)
        made.end_all()
        assert is_whole(one)
