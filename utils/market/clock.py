"""The clock: the only place that reads the time of day. `MARKET_CLOCK` bends or steps it for simulations."""

from __future__ import annotations

import functools
import mmap
import struct
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from utils.market.ist import IST

STEPPED = "stepped:"
_NO_WATCHDOG_SECONDS = "3600"
_SHOWN = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class MarketClock:
    """Market time runs from `market_ms` at `speed` times real time since `real_ms` (epoch milliseconds)."""

    market_ms: int = 0
    speed: float = 1.0
    real_ms: int = 0

    def now_ms(self) -> int:
        """Market time now, epoch milliseconds."""
        return self.at(time.time_ns() // 1_000_000)

    def at(self, real_ms: int) -> int:
        """Market time at a real instant."""
        return self.market_ms + round((real_ms - self.real_ms) * self.speed)

    def real_seconds(self, market_seconds: float) -> float:
        """How long a stretch of market time takes for real."""
        return market_seconds / self.speed

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.market_ms / 1000, IST)
        return f"{moment.isoformat()}@{self.speed:g}@{self.real_ms / 1000:.3f}"


REAL_TIME = MarketClock()


@dataclass(frozen=True, slots=True)
class SteppedClock(MarketClock):
    """Virtual time: what a simulated exchange last wrote into `file`, which every process of the pipeline maps.

    It stands still until the exchange steps it, however slow the machine is. `speed` is a guess, for intervals only.
    """

    speed: float = 60.0
    file: Path = Path()

    def now_ms(self) -> int:
        """Market time as of the last step, epoch milliseconds."""
        market_ms: int = _SHOWN.unpack_from(_mapped(self.file))[0]
        return market_ms

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to live by it; the watchdog is off: a market that stands still is no dead socket."""
        return {"MARKET_CLOCK": str(self), "WATCHDOG_SECONDS": _NO_WATCHDOG_SECONDS}

    def step_to(self, market_ms: int) -> None:
        """For the exchange alone. OSError when the file cannot be written."""
        _SHOWN.pack_into(_mapped(self.file), 0, market_ms)

    def __str__(self) -> str:
        return f"{STEPPED}{self.file}"


@functools.cache
def _mapped(file: Path) -> mmap.mmap:
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), _SHOWN.size)


def new_stepped_clock(file: Path, market_ms: int) -> SteppedClock:
    """A clock in a file of its own, which shows `market_ms`. OSError."""
    fresh = file.with_name(f"{file.name}.new")  # in place of an old one, which a process may still have mapped
    fresh.write_bytes(_SHOWN.pack(market_ms))
    fresh.replace(file)
    return SteppedClock(file=file)


def parse_market_clock(text: str) -> MarketClock:
    """`2026-11-20T09:00:00+05:30@60@1795000000.5`, or `stepped:FILE`; empty is real time. Without an offset: IST.

    ValueError names what cannot be read.
    """
    if not text.strip():
        return REAL_TIME
    if text.strip().startswith(STEPPED):
        return _parse_stepped(Path(text.strip().removeprefix(STEPPED)))
    try:
        moment_text, speed_text, real_text = text.strip().split("@")
        moment = datetime.fromisoformat(moment_text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=IST)
        speed, real_seconds = float(speed_text), float(real_text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not '<market time, ISO 8601>@<speed>@<real epoch seconds at which it was that time>'"
        ) from None
    if not 0 < speed < float("inf"):
        raise ValueError(f"the speed in {text!r} must be above 0")
    return MarketClock(round(moment.timestamp() * 1000), speed, round(real_seconds * 1000))


def _parse_stepped(file: Path) -> SteppedClock:
    clock = SteppedClock(file=file)
    try:
        clock.now_ms()
    except (OSError, ValueError) as error:
        raise ValueError(f"{STEPPED}{file} is not the clock of a simulated exchange ({error})") from None
    return clock
