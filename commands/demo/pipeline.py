"""The demo's processes from start to end: exchange, connector and the two workers, watched and ended in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import redis
import requests

from commands.demo.exchange import Exchange, start_exchange, wait_for_exchange
from commands.demo.plan import DemoPlan
from commands.shared.child_process import ChildProcess, end_all
from commands.shared.processes import (
    CANDLE_WORKER,
    CONNECTOR,
    SIGNAL_WORKER,
    check_alive,
    end_orderly,
    start_script,
)
from commands.shared.readiness import Reports, candles_wait_for, signals_wait_for
from commands.shared.run_environment import RunPlace, add_instruments
from commands.shared.waiting import drain, wait_for
from utils.keys import Keys
from utils.runtime.lifecycle import StopRequest
from utils.stores.health import read_health

READY_SECONDS = 300.0
CONNECTOR_GRACE_SECONDS = 30.0
WORKER_GRACE_SECONDS = 20.0


class PipelineFault(RuntimeError):
    """The pipeline did not do its part: one sentence (and a log's last lines)."""


class DemoPipeline:
    """Start with `start` and `start_signals`, ask `check` again and again, end with `drain` and `end`."""

    def __init__(
        self, place: RunPlace, client: redis.Redis, keys: Keys, shards: list[int], stop: StopRequest
    ) -> None:
        self.children: list[ChildProcess] = []
        self._place = place
        self._client = client
        self._keys = keys
        self._shards = shards
        self._stop = stop
        self._finished: list[ChildProcess] = []
        self._environment: dict[str, str] = {}
        self._exchange: Exchange | None = None

    def start(
        self,
        plan: DemoPlan,
        environment: Mapping[str, str],
        symbols: tuple[str, ...],
        record: Path | None,
        meanwhile: Callable[[], None],
    ) -> None:
        """All but the signal worker; when this returns, every tick becomes part of a candle.

        StartError, ChildDied, PipelineFault, Interrupted.
        """
        simulator = start_exchange(plan, self._place, environment, record)
        self.children.append(simulator)
        self._environment = dict(environment)
        add_instruments(self._environment, symbols, self._place)
        # The workers need no exchange but for missing history: they come up while the simulator does.
        self._start_script(CANDLE_WORKER)
        self._exchange = exchange = wait_for_exchange(simulator)
        self._environment |= {"KITE_API_URL": exchange.api_url, "KITE_WS_URL": exchange.ws_url}
        self._start_script(CONNECTOR)
        self._wait_for(lambda reports: candles_wait_for(reports, len(symbols)), meanwhile)

    def play(self, until_ms: int, speed: float) -> None:
        """Lets the market begin, which stood still until now. PipelineFault."""
        assert self._exchange is not None, "it was not started"
        try:
            self._exchange.play(until_ms, speed)
        except requests.RequestException as error:
            raise PipelineFault(f"The simulated exchange does not play: {error}") from None

    def start_signals(self) -> None:
        """The signal worker, when there is a past to warm up from."""
        self._start_script(SIGNAL_WORKER)

    def signals_are_warm(self) -> bool:
        """Whether closed candles are evaluated: what closes before that is past to the signal worker."""
        return not signals_wait_for(read_health(self._client, self._keys))

    def _start_script(self, name: str) -> None:
        own = self._place.for_process(name, self._environment)
        self.children.append(start_script(name, self._place.logs, own, self._place.work))

    def _wait_for(self, waits_for: Callable[[Reports], list[str]], meanwhile: Callable[[], None]) -> None:
        waits: list[str] = []

        def is_ready() -> bool:
            self.check()
            meanwhile()
            waits[:] = waits_for(read_health(self._client, self._keys))
            return not waits

        if not wait_for(is_ready, READY_SECONDS, self._stop):
            raise PipelineFault(
                f"Not ready after {READY_SECONDS:g} s: {'; '.join(waits)}; the logs are in {self._place.logs}."
            )

    def check(self) -> None:
        """ChildDied for the first process that ended and should not have."""
        check_alive([child for child in self.children if child not in self._finished])

    def drain(self, stop: StopRequest, meanwhile: Callable[[], None]) -> list[str]:
        """Stops the ticks and drains each stage in turn. Returns what went wrong, in sentences."""
        faults = self._end_one(CONNECTOR, CONNECTOR_GRACE_SECONDS)

        def look() -> None:
            self.check()
            meanwhile()

        return faults + drain(self._client, self._keys, self._shards, stop, look)

    def _end_one(self, name: str, grace_seconds: float) -> list[str]:
        faults = []
        for child in self.children:
            if child.name == name and child.is_alive:
                self._finished.append(child)
                faults += end_orderly(child, grace_seconds)
        return faults

    def end(self) -> list[str]:
        """Ends whatever still runs, the workers first. Returns what went wrong, in sentences."""
        faults: list[str] = []
        for name in (CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER):
            faults += self._end_one(name, WORKER_GRACE_SECONDS)
        self._finished += self.children
        end_all(self.children)
        return faults
