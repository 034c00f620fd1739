"""Row 6: memory at the end of a day of trading, and its disk, extrapolated from a minute of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import Stage, pss_mb
from bench.results import Row, single
from utils.runtime.settings import Settings

SESSION_MS = 375 * 60_000
CORE_MB = 900.0
OURS = ("connect", "candle_worker", "signal_worker")
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Stretch:
    """A measured stretch of the session: its length, and the growth in it (bytes)."""

    instruments: int
    seconds: float
    packets: int
    stream: int
    journal: int
    logs: int
    document: float  # bytes of a candle in MongoDB

    def a_day(self, amount: float) -> float:
        """The amount extrapolated to a full session."""
        return amount / self.seconds * SESSION_MS / 1000


def day_rows(stage: Stage, stretch: Stretch) -> list[Row]:
    """Memory at the end of a day, with streams of their final length, and the day's disk."""
    settings = Settings.load(_env_file=None)
    candles = stretch.instruments * candles_a_session(settings)
    of_streams = _streams_mb(stage, stretch, settings, candles)
    memory = {name: pss_mb(stage.pids[name]) for name in (*OURS, "redis", "mongodb")}
    memory["redis"] += sum(of_streams.values())
    disk = {
        "journal": stretch.a_day(stretch.journal) / MEGABYTE,
        "MongoDB": candles * stretch.document / MEGABYTE,
        "logs": stretch.a_day(stretch.logs) / MEGABYTE,
        "Redis' snapshot at most": memory["redis"],
    }
    name = f"a day of {stretch.instruments} instruments in {len(settings.timeframes)} timeframes: "
    return [_memory_row(name, memory, of_streams), _disk_row(name, disk, stretch.packets / stretch.seconds)]


def candles_a_session(settings: Settings) -> int:
    """Candles of one instrument in a session, when each bucket has a trade."""
    return sum(-(-SESSION_MS // (timeframe.length_ms or SESSION_MS)) for timeframe in settings.timeframes)


def _streams_mb(stage: Stage, stretch: Stretch, settings: Settings, candles: int) -> dict[str, float]:
    """MB that each stream has at the day's end."""
    length: Any = stage.client.xlen("closed:{a}")
    size: Any = stage.client.memory_usage("closed:{a}", samples=0)
    frames = min(stretch.a_day(stretch.stream), settings.stream_max_bytes)
    return {
        "ticks": frames / MEGABYTE,
        "closed": min(candles, settings.closed_max_entries) * size / length / MEGABYTE,
    }


def _memory_row(name: str, memory: dict[str, float], of_streams: dict[str, float]) -> Row:
    core = sum(memory[process] for process in (*OURS, "redis"))
    note = (
        f"{_listed(memory)}; of Redis' the streams take {_listed(of_streams)}; MongoDB is the stand-in, not counted, "
        "and has a limit of its own in docker-compose.yml"
    )
    figures = {f"{process}_mb": size for process, size in memory.items()}
    title = f"{name}memory of our processes and Redis at its end"
    return Row("6", title, "MB", single(core), {}, {"": CORE_MB}, False, note, figures)


def _disk_row(name: str, disk: dict[str, float], rate: float) -> Row:
    figures = {f"{process.replace(' ', '_')}_mb": size for process, size in disk.items()}
    note = f"{_listed(disk)}; at {rate:,.0f} packets/s, the journal before it is compressed"
    return Row("6", f"{name}disk", "MB", single(sum(disk.values())), {}, {}, False, note, figures)


def _listed(sizes: dict[str, float]) -> str:
    return ", ".join(f"{name} {size:,.0f} MB" for name, size in sizes.items())


def folder_bytes(path: Path) -> int:
    """The size of all files under the folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
