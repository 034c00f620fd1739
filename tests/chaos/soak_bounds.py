"""What must stay flat in a soak, within which bounds, and whether it did. Pure: series in, sentences out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Sample:
    """What was found after a session, when everything was processed and stored."""

    session: int
    day: str
    rss_mb: Mapping[str, float]
    descriptors: Mapping[str, int]
    threads: Mapping[str, int]
    redis_mb: float  # without the streams of ticks
    keys: int
    ticks_entries: int
    ticks_hours: float
    closed_entries: int
    rows: int  # of the candle worker
    live_hashes: int  # of ticks, candles and indicator values
    snapshot_bytes: int  # of the candle worker: the signal worker's are compressed, and fill for weeks
    published: int
    documents: int
    mongo_bytes: int
    journal_days: int
    journal_mb: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """Growth allowed over the figure of session `settled`, from which on all must be flat."""

    settled: int = 2
    rss_share: float = 0.10
    rss_mb: float = 24.0
    descriptors: int = 3
    threads: int = 1
    redis_share: float = 0.10
    redis_mb: float = 16.0
    keys: int = 10  # leases and health reports come and go
    snapshot_share: float = 0.02  # their first lines hold ids and times
    bytes_share: float = 0.25
    fewest_share: float = 0.9  # of the candles that the feed makes when nothing is late

    def memory_limit(self, settled_mb: float) -> float:
        return settled_mb * (1 + self.rss_share) + self.rss_mb


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow, and how much the feed must have brought."""

    shards: int
    closed_max_entries: int
    stream_hours: float
    trim_hours: float
    journal_days: int
    candles_a_session: int


def findings(samples: Sequence[Sample], bounds: Bounds, limits: Limits, sessions: int) -> list[str]:
    """Empty when all held."""
    found = [] if len(samples) == sessions else [f"{len(samples)} sessions instead of {sessions}"]
    settled = [sample for sample in samples if sample.session >= bounds.settled]
    if len(settled) < 2:
        return [*found, "too few sessions to judge what is flat"]
    found += _of_processes(settled, bounds)
    found += _of_redis(settled, bounds, limits)
    found += _of_mongo(samples, settled, bounds, limits)
    worst = max(sample.journal_days for sample in settled)
    if worst > limits.journal_days:
        found.append(f"the journal holds {worst} days, and should hold {limits.journal_days} at most")
    return found


def _of_processes(settled: Sequence[Sample], bounds: Bounds) -> list[str]:
    found = []
    for name, first in settled[0].rss_mb.items():
        found += _flat(
            f"resident memory of {name} (MB)", [sample.rss_mb[name] for sample in settled], bounds.memory_limit(first)
        )
    for name, opened in settled[0].descriptors.items():
        series = [float(sample.descriptors[name]) for sample in settled]
        found += _flat(f"file descriptors of {name}", series, opened + bounds.descriptors)
    for name, running in settled[0].threads.items():
        series = [float(sample.threads[name]) for sample in settled]
        found += _flat(f"threads of {name}", series, running + bounds.threads)
    return found


def _of_redis(settled: Sequence[Sample], bounds: Bounds, limits: Limits) -> list[str]:
    first = settled[0]
    found = _flat("keys in Redis", [float(sample.keys) for sample in settled], first.keys + bounds.keys)
    found += _flat("rows of the candle worker", [float(sample.rows) for sample in settled], first.rows)
    found += _flat("live hashes", [float(sample.live_hashes) for sample in settled], first.live_hashes)
    snapshots = first.snapshot_bytes * (1 + bounds.snapshot_share)
    found += _flat("bytes of the snapshots", [float(sample.snapshot_bytes) for sample in settled], snapshots)
    memory = first.redis_mb * (1 + bounds.redis_share) + bounds.redis_mb
    found += _flat("Redis memory (MB)", [sample.redis_mb for sample in settled], memory)
    # MAXLEN ~ drops whole nodes of a stream only, of a hundred entries at most.
    closed = limits.shards * (limits.closed_max_entries + 100)
    found += _flat("entries of the closed streams", [float(sample.closed_entries) for sample in settled], closed)
    hours = limits.stream_hours + limits.trim_hours
    return found + _flat(
        "hours that the streams of ticks reach back", [sample.ticks_hours for sample in settled], hours
    )


def _of_mongo(samples: Sequence[Sample], settled: Sequence[Sample], bounds: Bounds, limits: Limits) -> list[str]:
    found = [
        f"MongoDB holds {sample.documents} candles after session {sample.session}, and {sample.published} were "
        f"published"
        for sample in samples
        if sample.documents != sample.published
    ]
    totals = [0, *(sample.published for sample in samples)]
    short = min(after - before for before, after in pairwise(totals))
    if short < bounds.fewest_share * limits.candles_a_session:
        found.append(f"a session brought {short} candles, and {limits.candles_a_session} were to be expected")
    per_candle = [sample.mongo_bytes / max(1, sample.documents) for sample in settled]
    return found + _flat("bytes a candle in MongoDB", per_candle, per_candle[0] * (1 + bounds.bytes_share))


def _flat(what: str, series: Sequence[float], limit: float) -> list[str]:
    if max(series) <= limit:
        return []
    return [f"{what}: {', '.join(f'{pair:.6g}' for pair in series)}; the bound is {limit:.6g}"]
