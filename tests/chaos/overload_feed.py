"""The feed of an overload run, a process of its own: the connector's journal and sender, without the socket.

    python -m tests.chaos.overload_feed '{"instruments": 9000, "shards": 3, "seed": 1, "begin": "10:00:00", …}'

No single socket carries a hundred times what the broker can send. Everything behind the socket is the connector's
own: recorders, the journal and its keeper, the sender with the limits of the stream, the health report. Frames are
stamped with the time they are due at: a seed makes the same journal on any machine. Settings come from the
environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import structlog

from bench.synthetic import DAY, Market, full_packets, instruments
from utils.connector.recorder import TickRecorder
from utils.connector.sender import TickSender
from utils.journal.entries import down_mark, subscribed_mark, up_mark
from utils.journal.keeper import JournalKeeper
from utils.keys import Keys
from utils.kite.frames import FULL, FULL_LENGTH
from utils.market.instruments import Instrument
from utils.market.ist import ist_midnight_ms
from utils.runtime.lifecycle import EXIT_OK, StopRequest, run_script
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.stores.health import HealthReport
from utils.stores.redis_connection import open_redis
from utils.stores.tick_stream import TickStream

PROCESS = "connector"
SEND_REST_SECONDS = 900.0
NAP_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Offer:
    """What is fed: from `begin` (IST) on, one part after the other, each (market seconds, ticks of each instrument a
    market second)."""

    instruments: int
    shards: int
    seed: int
    begin: str
    parts: tuple[tuple[float, float], ...]
    per_frame: int = 500

    @classmethod
    def read(cls, text: str) -> Offer:
        content = json.loads(text)
        return cls(**{**content, "parts": tuple(tuple(part) for part in content["parts"])})

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def begin_ms(self) -> int:
        hours, minutes, seconds = map(int, self.begin.split(":"))
        return ist_midnight_ms(DAY) + ((hours * 60 + minutes) * 60 + seconds) * 1000

    @property
    def market_seconds(self) -> float:
        return sum(seconds for seconds, _ in self.parts)

    def members(self) -> list[list[Instrument]]:
        """The instruments of each shard, evenly and in order."""
        named = instruments(self.instruments)
        bounds = [shard * self.instruments // self.shards for shard in range(self.shards + 1)]
        return [named[bounds[shard] : bounds[shard + 1]] for shard in range(self.shards)]


class Tape:
    """Rounds of ticks as frames: in each round every instrument trades once."""

    def __init__(self, offer: Offer, members: Sequence[Sequence[Instrument]] = ()) -> None:
        """`members`: the instruments of each shard, instead of the offer's own."""
        members = members or offer.members()
        self._tokens = np.array([instrument.token for of_shard in members for instrument in of_shard], np.int64)
        self._rows = np.arange(offer.instruments)
        self._market = Market.of(offer.instruments, offer.seed)
        self._cuts = list(_cuts([len(of_shard) for of_shard in members], offer.per_frame))
        self._framed = np.zeros(offer.instruments, np.dtype([("length", ">u2"), ("packet", FULL)]))
        self._framed["length"] = FULL_LENGTH
        self._framed["packet"] = full_packets(self._market.step(self._rows, 0, self._tokens))

    def round(self, trade_s: int) -> list[tuple[int, bytes]]:
        """(shard, frame) in the order they are sent in."""
        ticks = self._market.step(self._rows, trade_s, self._tokens)
        packet = self._framed["packet"]
        packet["last_price"] = packet["average_price"] = ticks["price"]
        packet["last_quantity"], packet["volume"] = ticks["quantity"], ticks["cum"]
        packet["day_high"], packet["day_low"], packet["day_open"] = (
            ticks["day_high"],
            ticks["day_low"],
            ticks["day_low"],
        )
        packet["last_trade_time"] = packet["exchange_time"] = trade_s
        packet["bids"]["price"][:, 0], packet["asks"]["price"][:, 0] = ticks["price"], ticks["price"] + 5
        body, size = self._framed.tobytes(), self._framed.itemsize
        return [
            (shard, (last - first).to_bytes(2, "big") + body[first * size : last * size])
            for shard, first, last in self._cuts
        ]


def _cuts(sizes: list[int], per_frame: int) -> Iterator[tuple[int, int, int]]:
    """(shard, first row, end row) of each frame, the shards in turn."""
    found = []
    for shard, size in enumerate(sizes):
        start = sum(sizes[:shard])
        found += [
            (first - start, shard, first, min(first + per_frame, start + size))
            for first in range(start, start + size, per_frame)
        ]
    for _, shard, first, last in sorted(found):
        yield shard, first, last


class Feed:
    """Sends each frame when it is due, or at once when it is overdue."""

    def __init__(self, offer: Offer, settings: Settings, stop: StopRequest, log: BoundLogger) -> None:
        self._offer = offer
        self._clock = settings.market_clock
        self._stop = stop
        self._at_ms = offer.begin_ms - 1000
        self._log = log
        self.recorders = [
            TickRecorder(settings.journal_dir, shard, lambda: self._at_ms, self._wake, log)
            for shard in range(offer.shards)
        ]
        client, keys = open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix)
        self.sender = TickSender(
            client,
            TickStream(client, keys),
            self.recorders,
            HealthReport(client, keys, PROCESS, settings.health_ttl_seconds),
            self._health_fields,
            settings.stream_hours,
            settings.stream_max_mb << 20,
            log,
        )
        self._keeper = JournalKeeper(
            settings.journal_dir,
            self.recorders,
            settings.journal_fsync_seconds,
            settings.journal_days,
            lambda: self._at_ms,
            log,
        )
        self.frames = self.ticks = self.late_ms = 0
        self.part = -1

    def _wake(self) -> None:
        self.sender.wake()

    def run(self) -> None:
        """Plays the whole offer into the journal; sends what Redis accepts within SEND_REST_SECONDS."""
        self._open()
        tape, begin_ms = Tape(self._offer), float(self._offer.begin_ms)
        for part, (seconds, rate) in enumerate(self._offer.parts):
            self.part = part
            for index in range(round(seconds * rate)):
                self._play_round(tape, begin_ms + index * 1000 / rate, 1000 / rate)
            begin_ms += seconds * 1000
        self._at_ms = round(begin_ms)
        self.part += 1
        self._close()

    def _open(self) -> None:
        for recorder, members in zip(self.recorders, self._offer.members(), strict=True):
            recorder.mark(up_mark())
            recorder.mark(subscribed_mark("full", members))
        self.sender.start()
        self._keeper.start()
        self.sender.show_instruments([instrument for members in self._offer.members() for instrument in members])

    def _play_round(self, tape: Tape, begin_ms: float, length_ms: float) -> None:
        frames = tape.round(int(begin_ms // 1000))
        for index, (shard, frame) in enumerate(frames):
            self._at_ms = int(begin_ms + index * length_ms / len(frames))
            self._wait()
            self.recorders[shard].frame(frame, is_binary=True)
        self.frames += len(frames)
        self.ticks += self._offer.instruments

    def _wait(self) -> None:
        left = self._clock.real_seconds((self._at_ms - self._clock.now_ms()) / 1000)
        self.late_ms = max(self.late_ms, round(-1000 * left))
        if left > NAP_SECONDS and self._stop.wait(left):
            raise SystemExit(EXIT_OK)

    def _close(self) -> None:
        for recorder in self.recorders:
            recorder.mark(down_mark("connector stopped"))
        self._keeper.stop()
        if not self.sender.finish(SEND_REST_SECONDS):
            self._log.error("not everything was sent")
        for recorder in self.recorders:
            recorder.close()

    def _health_fields(self) -> dict[str, str | int | float]:
        return {
            "state": "up",
            "market_ms": self._clock.now_ms(),
            "fed_to_ms": self._at_ms,
            "part": self.part,
            "late_ms": max(0, self._clock.now_ms() - self._at_ms),
            "sent": self.sender.sent,
            "forced_out": self.sender.forced_out,
            "redis_faults": self.sender.faults,
            "frames": self.frames,
            "ticks": self.ticks,
            "bytes": sum(recorder.received_bytes for recorder in self.recorders),
            "backlog_bytes": sum(recorder.backlog_bytes for recorder in self.recorders),
        }

    def figures(self) -> dict[str, int]:
        """What the run is judged by, JSON-safe."""
        return {
            "frames": self.frames,
            "ticks": self.ticks,
            "bytes": sum(recorder.received_bytes for recorder in self.recorders),
            "lost": sum(recorder.lost for recorder in self.recorders),
            "forced_out": self.sender.forced_out,
            "feed_late_ms": self.late_ms,
        }


def main(settings: Settings, stop: StopRequest) -> int:
    offer, result = Offer.read(sys.argv[1]), Path(sys.argv[2])
    feed, began = Feed(offer, settings, stop, structlog.get_logger(PROCESS)), time.monotonic()
    feed.run()
    result.write_text(
        json.dumps(feed.figures() | {"feed_seconds": round(time.monotonic() - began, 1)}), encoding="utf-8"
    )
    return EXIT_OK


if __name__ == "__main__":
    run_script(PROCESS, main)
