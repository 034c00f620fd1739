"""Reads the state of a running pipeline from Redis: its health reports, and a picture of the moment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import orjson
import redis

from commands.shared.child_process import ChildProcess
from commands.shared.closed_tally import ClosedTally
from commands.shared.closing_figures import rejected_by_reason
from commands.shared.picture import LiveCandle, Picture, ProcessLine, ShownSignal, Step
from commands.shared.processes import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER
from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.market.timeframes import Timeframe
from utils.stores.health import read_health

Health = dict[str, dict[str, str]]

_SIGNALS_SHOWN = 6
_CLOSES_SHOWN = 24
_RATE_SECONDS = 3.0
_FORMING_SECONDS = 4.0


class Rate:
    """A count's rise per real second, over the last few seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def at(self, count: int, now_seconds: float) -> float:
        self._seen.append((now_seconds, count))
        while len(self._seen) > 2 and now_seconds - self._seen[1][0] >= _RATE_SECONDS:
            self._seen.pop(0)
        (first_seconds, first), (last_seconds, last) = self._seen[0], self._seen[-1]
        return max(0.0, (last - first) / (last_seconds - first_seconds)) if last_seconds > first_seconds else 0.0


class PipelineReader:
    """Pictures of one run. `shown` are the symbols whose live candle of `timeframe` is drawn."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        tally: ClosedTally,
        title: str,
        window_ms: tuple[int, int],
        shown: Sequence[str],
        timeframe: str,
    ) -> None:
        self._client = client
        self._keys = keys
        self._tally = tally
        self._title = title
        self._from_ms, self._until_ms = window_ms
        self._shown = list(shown)
        self._timeframe = timeframe
        self._packet_rate, self._candle_rate = Rate(), Rate()

    def health(self) -> Health:
        """The living reports, by process."""
        return read_health(self._client, self._keys)

    def picture(self, market_ms: int, children: Sequence[ChildProcess], steps: tuple[Step, ...] = ()) -> Picture:
        """Everything at this moment, and `steps`, what is still made ready. RedisError when Redis is away."""
        self._tally.read_on(self._client, self._keys, most=20_000)
        health = self.health()
        worker = health.get(CANDLE_WORKER, {})
        packets, now = int(worker.get("packets", 0)), time.monotonic()
        candles = dict(self._tally.candles)
        signals, published = self._signals()
        return Picture(
            title=self._title,
            market_ms=market_ms,
            from_ms=self._from_ms,
            until_ms=self._until_ms,
            packets=packets,
            packets_a_second=self._packet_rate.at(packets, now),
            candles=candles,
            candles_a_second=self._candle_rate.at(sum(candles.values()), now),
            revisions=self._tally.revisions.total(),
            signals_published=published,
            live=self.live(),
            signals=signals,
            processes=tuple(process_line(child, health.get(child.name)) for child in children),
            rejected=rejected_by_reason(worker),
            steps=steps,
        )

    def live(self) -> tuple[LiveCandle, ...]:
        """The shown instruments' candles as they form. RedisError when Redis is away."""
        pipeline = self._client.pipeline(transaction=False)
        for symbol in self._shown:
            pipeline.hgetall(self._keys.candle(symbol, self._timeframe))
        return tuple(self._live_candle(fields) for fields in pipeline.execute() if fields)

    def _signals(self) -> tuple[tuple[ShownSignal, ...], int]:
        """The newest of all shards first, and how many there are."""
        streams = [self._keys.signals(shard) for shard in self._tally.shards]
        pipeline = self._client.pipeline(transaction=False)
        for stream in streams:
            pipeline.xrevrange(stream, count=_SIGNALS_SHOWN)
        for stream in streams:
            pipeline.xlen(stream)
        answers = pipeline.execute()
        rows = [row for found in answers[: len(streams)] for row in found]
        rows.sort(key=lambda row: EntryId.parse(row[0]), reverse=True)
        shown = (ShownSignal.from_document(orjson.loads(fields[b"json"])) for _, fields in rows[:_SIGNALS_SHOWN])
        return tuple(shown), sum(answers[len(streams) :])

    def _live_candle(self, fields: Mapping[bytes, bytes]) -> LiveCandle:
        values = {name.decode(): value.decode() for name, value in fields.items()}
        closes = self._tally.closes.get(values["symbol"], ())
        return LiveCandle(
            symbol=values["symbol"],
            timeframe=values["timeframe"],
            open=float(values["open"]),
            high=float(values["high"]),
            low=float(values["low"]),
            close=float(values["close"]),
            volume=int(values["volume"]) if "volume" in values else None,
            ticks=int(values["ticks"]),
            closes=tuple(closes)[-_CLOSES_SHOWN:],
            complete=values["complete"] == "true",
        )


def process_line(child: ChildProcess, report: Mapping[str, str] | None) -> ProcessLine:
    """One process in the picture; the simulator has no report and needs none."""
    if report is None:
        return ProcessLine(child.name, child.is_alive, None, "")
    # Closed candles come only now and then: the age of the last one is no lag of the signal worker's.
    newest = report.get("last_frame_ms") if child.name == CONNECTOR else report.get("last_entry_ms")
    last_ms = int(newest or 0) if child.name != SIGNAL_WORKER else 0
    lag_ms = int(report.get("market_ms", 0)) - last_ms
    return ProcessLine(child.name, child.is_alive, lag_ms if last_ms and lag_ms >= 0 else None, _note(report))


def _note(report: Mapping[str, str]) -> str:
    """The state of a process, and what it has not stored yet."""
    backlog = int(report.get("archive_backlog", 0))
    stored = f"{backlog:,} to be stored" if backlog > 0 else ""
    return ", ".join(part for part in (report.get("state", ""), stored) if part)


def choose_shown(symbols_by_class: Mapping[str, Sequence[str]], count: int) -> list[str]:
    """A mix: one of each class in turn, until there are enough."""
    queues = [list(symbols) for symbols in symbols_by_class.values()]
    chosen: list[str] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return chosen


def shown_timeframe(timeframes: tuple[Timeframe, ...], speed: float) -> Timeframe:
    """The shortest whose candles take long enough at this speed for a person to see them form."""
    by_length = sorted(timeframes, key=lambda timeframe: (timeframe.is_day, timeframe.length_ms))
    slow = [
        timeframe
        for timeframe in by_length
        if timeframe.is_day or timeframe.length_ms / 1000 / speed >= _FORMING_SECONDS
    ]
    return (slow or by_length)[0]
