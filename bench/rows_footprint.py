"""Row 6: the whole pipeline at the default size, fed by the simulated exchange; and what a tick takes up."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.processes import PROJECT, BenchError, Stage, Usage, market_clock, wait_until
from bench.results import Row, single
from bench.synthetic import DAY
from commands.child_process import ChildProcess
from commands.simulated_exchange import Exchange, wait_for_exchange
from utils.journal_files import journal_path

DEFAULT_INSTRUMENTS = 50
OURS = ("connect", "candle_worker", "signal_worker")
Say = Callable[[str], None]


def footprint_rows(stage: Stage, seconds: float, say: Say) -> list[Row]:
    """All three processes in the middle of a session, with 50 instruments, for so long."""
    say(f"6. the whole pipeline with {DEFAULT_INSTRUMENTS} instruments for {seconds:g} s")
    stage.client.flushall()
    clock = market_clock(11, 0, 20)
    exchange = _start_exchange(stage, clock)
    symbols = [one.symbol for one in exchange.instruments()[:DEFAULT_INSTRUMENTS]]
    stage.write_instruments(symbols)
    environment = stage.environment(
        MARKET_CLOCK=clock,
        KITE_API_URL=exchange.api_url,
        KITE_WS_URL=exchange.ws_url,
        ACCESS_TOKEN="demo-token",
        WARMUP="false",
    )
    try:
        for process in OURS:
            stage.start(process, environment)
        for process in OURS[1:]:
            stage.wait_for(process, 1)
        wait_until(lambda: int(stage.health("candle_worker").get("trades", 0)) > 0, "ticks flow", 60)
        stage.mark()
        packets, aof = _packets(stage), _aof_bytes(stage)
        _let_run(stage, seconds)
        usage, aof = stage.usage(), _aof_bytes(stage) - aof
        packets = _packets(stage) - packets
        return [*_usage_rows(usage, packets / seconds), *_byte_rows(stage, packets, aof)]
    finally:
        stage.end()


def _start_exchange(stage: Stage, clock: str) -> Exchange:
    child = ChildProcess(
        "simulator",
        [sys.executable, "-m", "simulator", "--session", DAY.isoformat(), "--instruments", str(DEFAULT_INSTRUMENTS)],
        log_path=stage.directory / "simulator.log",
        environment=stage.environment(MARKET_CLOCK=clock),
        directory=PROJECT,
        pipe_stdout=True,
    )
    stage.children["simulator"] = child
    return wait_for_exchange(child)


def _let_run(stage: Stage, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        dead = [name for name, child in stage.children.items() if not child.is_alive]
        if dead:
            raise BenchError(f"{dead[0]} died: {stage.children[dead[0]].last_lines(4)}")
        time.sleep(0.2)


def _packets(stage: Stage) -> int:
    return int(stage.health("candle_worker").get("packets", 0))


def _aof_bytes(stage: Stage) -> int:
    about = stage.client.info("persistence")
    return int(about.get("aof_current_size", 0))


def _usage_rows(each: dict[str, Usage], rate: float) -> list[Row]:
    ours = [each[name] for name in OURS]
    others = {name: one for name, one in each.items() if name not in OURS and name != "simulator"}
    note = f"at {rate:.0f} packets/s; " + ", ".join(
        f"{name} {one.cpu:.1%} {one.rss_mb:.0f} MB" for name, one in each.items()
    )
    servers = f"the servers beside them: {sum(one.cpu for one in others.values()):.1%} of a core"
    name = f"all our processes, {DEFAULT_INSTRUMENTS} instruments"
    share = single(100 * sum(one.cpu for one in ours))
    memory = single(sum(one.rss_mb for one in ours))
    return [
        Row("6", f"{name}: share of one core", "%", share, {}, {"": 5.0}, False, note),
        Row("6", f"{name}: memory", "MB", memory, {}, {"": 600.0}, False, servers),
    ]


def _byte_rows(stage: Stage, packets: int, aof: int) -> list[Row]:
    """What a tick (a packet) takes in each place. The wire's own 186 bytes of a full packet are the yardstick."""
    total = max(1, _packets(stage))
    stream = int(stage.client.memory_usage("ticks:0", samples=0) or 0)
    journal = journal_path(stage.directory / "journal", DAY, 0)
    written = int(stage.health("candle_worker").get("archive_written", 0))
    mongo = sum(one.stat().st_size for one in (stage.directory / "mongo").rglob("*") if one.is_file())
    wire = {"full packet on the wire": single(186.0)}
    rows = [
        Row("6", "bytes a tick in the stream (memory)", "B", single(stream / total), wire, {}, False),
        Row("6", "bytes a tick in the journal", "B", single(_size(journal) / total), wire, {}, False),
        Row(
            "6",
            "bytes a tick in the append-only file, live view and candles included",
            "B",
            single(aof / max(1, packets)),
            wire,
            {},
            False,
        ),
    ]
    if written:
        note = f"{written} candles in {mongo:,} bytes of the stand-in's files (its write-ahead log among them)"
        rows.append(Row("6", "bytes a tick in MongoDB", "B", single(mongo / total), wire, {}, False, note))
    return rows


def _size(path: Path | None) -> int:
    return path.stat().st_size if path is not None else 0
