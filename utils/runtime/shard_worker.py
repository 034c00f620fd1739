"""The loop of a worker that owns shards of a role, written once; a worker is a subclass with what differs.

Several processes of a role share its shards evenly, and each shard has one owner at a time. A turn of the loop:

    check      Redis is looked at: once, and again after each error
    acquire    every LEASE_SECONDS / 3 leases are renewed and shards change hands. A shard that becomes ours is
               recovered from its snapshot; a spare one is snapshotted and released; a lost one is released
    process    entries of the owned shards are read and applied, and what came of them is published
    catch up   what can wait for that is done: live views, files
    snapshot   every SNAPSHOT_SECONDS, one shard a turn, so that entries are read between two of them
    report     every second, into `health:<process>`

Publishing comes first: catching up and snapshots are left for turns that published nothing. No snapshot waits longer
than LATEST_SNAPSHOT_SECONDS for one.

After an error of Redis nothing is owned: leases are asked for anew and each shard is recovered, as after a restart.
Any other error ends the process without a snapshot, since what was applied may not have been published. At a stop
the owned shards are snapshotted, the archives write what is still there, and the leases are given up.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

from redis import RedisError

from utils.runtime.garbage_collection import GarbageSearch
from utils.runtime.health import Fields
from utils.runtime.lifecycle import EXIT_OK, StopRequest
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.runtime.timing import Pacing, RetryDelay

IDLE_SECONDS = 0.5  # between two looks for a shard while none is owned
HEALTH_SECONDS = 1.0
LATEST_SNAPSHOT_SECONDS = 2.0


class Change(Enum):
    """What becomes of a shard."""

    ACQUIRED = auto()  # it is ours now, and another may have worked on it: what we know of it is old
    LOST = auto()  # another owns it
    SPARE = auto()  # there are others to share with: it is to be released when it is in order


class Leases(Protocol):
    """Which shards of the role are ours."""

    owner: str
    owners: list[str]  # of all workers of the role that were there when it was last asked

    def changes(self, owned: Mapping[int, object]) -> Iterator[tuple[int, Change]]:
        """`owned` is to follow each change before the next is asked for."""

    def renew(self, shard: int) -> bool:
        """Whether it is ours, asked of Redis if need be."""

    def covers(self, shard: int, now_seconds: float) -> bool:
        """Whether it is surely ours, without asking; `now_seconds` of the monotonic clock."""

    def release(self, shard: int) -> None: ...

    def leave(self) -> None:
        """Release all; the other workers need not wait."""


class Guard(Protocol):
    """What a worker does about errors of Redis."""

    @property
    def fault(self) -> str:
        """The sentence of a recent failure that is no outage; empty when there was none."""

    def check(self) -> None: ...

    def on_error(self, error: RedisError, in_seconds: float, report: Callable[[], None]) -> None:
        """FatalError where trying again `in_seconds` cannot help; `report` brings `fault` into the health report."""

    def reason(self, error: RedisError) -> str:
        """The sentence of an error."""


class Health(Protocol):
    """The one report of all workers of the role."""

    def write(self, fields: Fields, owners: Sequence[str]) -> Fields | None:
        """The report of all; None when Redis did not accept it."""


class Archives(Protocol):
    """What brings the published entries of owned shards to MongoDB, in threads of their own."""

    def start(self, shard: int) -> None:
        """Nothing when it is started already, or when this shard has nothing to archive."""

    def stop(self, shard: int) -> None: ...

    def close(self) -> bool:
        """Write what is still there; False when that was not possible in time."""

    def health_fields(self) -> Fields: ...


@dataclass(frozen=True, slots=True)
class Coordination:
    """How the workers of a role share its shards, report together, and meet errors of Redis."""

    leases: Leases
    health: Health
    guard: Guard


class Shard(Protocol):
    """A shard's state and its stores. After an error of Redis only `recover` may follow."""

    @property
    def position(self) -> object:
        """The id of the last entry that was applied."""

    @property
    def instrument_count(self) -> int: ...

    def recover(self) -> object:
        """Back to the last snapshot, or to the beginning."""

    def snapshot(self) -> None:
        """Store the state, if it changed since the last time."""

    def release(self) -> None:
        """Another worker owns it, or nobody for now. Called again and again, and without `recover` before it."""


S = TypeVar("S", bound=Shard)


class ShardWorker(ABC, Generic[S]):
    """See the module's docstring. A subclass has `_process` and `_fields`, and the hooks that it needs."""

    def __init__(
        self,
        settings: Settings,
        stop: StopRequest,
        log: BoundLogger,
        shards: Mapping[int, S],
        archives: Archives,
        coordination: Coordination,
    ) -> None:
        self._clock = settings.market_clock
        self._stop = stop
        self._log = log
        self._shards = shards
        self._archives = archives
        self._leases, self._health, self._guard = coordination.leases, coordination.health, coordination.guard
        self._garbage = GarbageSearch()
        self._owned: dict[int, S] = {}
        self._is_standby = False
        self._to_snapshot: dict[int, float] = {}  # since when, of the monotonic clock
        self._delay = RetryDelay(0.1, 2.0)
        self._pacing = Pacing(
            leases=settings.lease_seconds / 3, snapshot=settings.snapshot_seconds, health=HEALTH_SECONDS
        )

    # ---- what a worker is

    @abstractmethod
    def _process(self) -> bool:
        """Read entries of the owned shards, waiting for them a moment at most; apply them and publish.

        Returns whether anything was published: then more may follow at once.
        """

    def _catch_up(self, has_published: bool) -> None:
        """What can wait for `_process`; after each of its turns."""

    def _is_snapshot_urgent(self, shard: int) -> bool:
        """Whether somebody waits for the shard's next snapshot: then it waits for nothing."""
        return False

    @abstractmethod
    def _fields(self, now_ms: int) -> Fields:
        """Of the health report, those that not every role has; `last_entry_ms` among them."""

    def _on_report(self, report: Fields) -> None:
        """The report of all workers of the role was written."""

    def _close(self) -> None:
        """At the end, with the snapshots stored: what the worker itself began is ended."""

    # ---- the loop

    def run(self) -> int:
        """Until asked to stop. FatalError."""
        try:
            while not self._stop.requested:
                self._run_guarded()
        except BaseException:
            self._owned.clear()  # what was applied may not have been published: no snapshot may go beyond it
            raise
        finally:
            self._shutdown()
        return EXIT_OK

    def _run_guarded(self) -> None:
        """A turn; an outage of Redis is waited for, and then everything is recovered. FatalError."""
        try:
            self._run_once()
            self._delay.reset()
        except RedisError as error:
            self._disown_all()
            in_seconds = self._delay.next_seconds()
            self._guard.on_error(error, in_seconds, self._report)
            self._stop.wait(in_seconds)

    def _disown_all(self) -> None:
        self._owned.clear()
        self._to_snapshot.clear()
        for shard in self._shards.values():
            shard.release()
        self._pacing.make_due("leases")

    def _run_once(self) -> None:
        self._guard.check()
        if self._pacing.is_due("leases", time.monotonic()):
            self._exchange_shards()
        if self._owned:
            has_published = self._process()
            self._catch_up(has_published)
            self._snapshot_in_turn(has_published)
        else:
            self._stop.wait(IDLE_SECONDS)
        if self._pacing.is_due("health", time.monotonic()):
            self._report()

    def _shutdown(self) -> None:
        try:
            self._snapshot_all()
        except RedisError as error:
            reason = self._guard.reason(error)
            self._log.warning("no snapshot at the end: the next start reads on from the last one", reason=reason)
        for shard in self._owned.values():
            shard.release()
        self._close()
        if not self._archives.close():
            self._log.warning("MongoDB does not answer: what is not written yet waits in its stream")
        self._leases.leave()

    # ---- shards

    def _exchange_shards(self) -> None:
        become = {Change.ACQUIRED: self._acquire, Change.LOST: self._lose, Change.SPARE: self._give_up}
        for shard, change in self._leases.changes(self._owned):
            become[change](shard)
        if not self._owned and not self._is_standby:
            self._log.info("standby: other workers own all shards")
        self._is_standby = not self._owned

    def _acquire(self, shard: int) -> None:
        self._shards[shard].recover()
        self._owned[shard] = self._shards[shard]
        self._archives.start(shard)
        self._log.info("shard acquired", shard=shard, after=str(self._owned[shard].position))

    def _lose(self, shard: int) -> None:
        if self._owned.pop(shard, None) is not None:
            self._log.warning("shard lost to another worker", shard=shard)
        self._release(shard)

    def _give_up(self, shard: int) -> None:
        owned = self._owned.pop(shard, None)
        if owned is not None:
            owned.snapshot()
            self._log.info("shard released to another worker", shard=shard)
        self._release(shard)
        self._leases.release(shard)

    def _release(self, shard: int) -> None:
        self._to_snapshot.pop(shard, None)
        self._shards[shard].release()
        self._archives.stop(shard)

    # ---- snapshots

    def _snapshot_in_turn(self, has_published: bool) -> None:
        now_seconds = time.monotonic()
        if self._pacing.is_due("snapshot", now_seconds):
            for shard in self._owned:
                self._to_snapshot.setdefault(shard, now_seconds)
        self._to_snapshot |= {shard: float("-inf") for shard in self._owned if self._is_snapshot_urgent(shard)}
        if self._to_snapshot:
            shard, since_seconds = next(iter(self._to_snapshot.items()))
            is_late = now_seconds - since_seconds >= LATEST_SNAPSHOT_SECONDS
            if (not has_published or is_late) and self._is_covered(shard):
                del self._to_snapshot[shard]
                self._owned[shard].snapshot()
                self._garbage.run(now_seconds)

    def _is_covered(self, shard: int) -> bool:
        """Whether it is surely ours: after a standstill another may have newer values and a newer snapshot."""
        is_covered = self._leases.covers(shard, time.monotonic())
        if not is_covered:
            self._pacing.make_due("leases")
        return is_covered

    def _snapshot_all(self) -> None:
        for number, shard in self._owned.items():
            if self._leases.renew(number):
                shard.snapshot()

    # ---- health

    def _report(self) -> None:
        now_ms, owned = self._clock.now_ms(), self._owned
        fields = self._fields(now_ms)
        last_ms = int(fields["last_entry_ms"])
        report = self._health.write(
            {
                **fields,
                "market_ms": now_ms,
                "lag_ms": now_ms - last_ms if last_ms else 0,
                "shards": ",".join(map(str, sorted(owned))),
                "instruments": sum(shard.instrument_count for shard in owned.values()),
                **{f"position_{number}": str(shard.position) for number, shard in owned.items()},
                **self._archives.health_fields(),
                "redis_fault": self._guard.fault,
            },
            self._leases.owners,
        )
        if report is not None:
            self._on_report(report)
