"""One demo from start to end: servers, processes, a view with the past written beside it, the closing figures."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
import redis

from commands.demo.figures import Figures, gather_figures
from commands.demo.figures_view import candles_table, figure_lines
from commands.demo.history import MOST_WITH_HISTORY, HistoryWriting
from commands.demo.kernel_compiling import KernelCompiling
from commands.demo.pipeline import DemoPipeline, PipelineFault
from commands.demo.plan import DemoPlan
from commands.demo.warming import Warming
from commands.demo.what_next import LATER_COMMANDS, commands_to_try, may_stay, stay
from commands.shared.child_process import StartError
from commands.shared.closed_tally import ClosedTally
from commands.shared.console import sentence_of
from commands.shared.embedded.servers import ServerUrls, open_servers
from commands.shared.picture import LiveCandle, Picture, Step
from commands.shared.picture_view import first_candle_line
from commands.shared.pipeline_reader import PipelineReader, choose_shown, shown_timeframe
from commands.shared.processes import CANDLE_WORKER, ChildDied, check_alive
from commands.shared.run_directory import DirectoryError, clear_prefix, run_directory
from commands.shared.run_environment import RunPlace, own_environment
from commands.shared.terminal import UPDATES_A_SECOND, Terminal
from commands.shared.waiting import Interrupted, wait_for
from simulator.tape import Tape
from simulator.universe import build_universe
from utils.keys import Keys
from utils.market.clock import new_stepped_clock
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import Timeframe
from utils.runtime.lifecycle import EXIT_FAILED, EXIT_OK, StopRequest
from utils.runtime.settings import INSTRUMENTS_PER_CONNECTION, Settings
from utils.stores.health import read_health
from utils.stores.mongo import MongoStore, StoreError
from utils.stores.redis_connection import open_redis

PREFIX = "demo:"
DATABASE = "candlewick_demo"
CONSOLE_USER = "demo"
EXIT_INTERRUPTED = 130
LONGEST_HISTORY_SECONDS = 900.0
_LINGER_MS = 10_000  # what ends at the stretch's end closes some seconds later


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Where a demo puts things. `settings` holds what the person chose of timeframes and the like."""

    directory: Path | None
    record: Path | None
    json_file: Path | None
    history_first: bool
    stay: bool
    settings: Settings


def run_demo(plan: DemoPlan, options: DemoOptions, terminal: Terminal, stop: StopRequest) -> int:
    """Plays the plan; returns the exit code. Whatever happens, every process that it started has ended."""
    began = time.monotonic()
    try:
        with run_directory(options.directory, "demo") as directory:
            directory.keep()  # for a look at the logs, unless all goes well
            with (
                KernelCompiling(directory.path, os.environ) as compiling,
                open_servers(directory.path, os.environ, PREFIX) as servers,
            ):
                code = _Demo(plan, options, terminal, stop, servers, compiling, directory.path, began).run()
            if code == EXIT_OK and options.directory is None:
                directory.drop()
                terminal.print_line(f"Removed {directory.path} (--directory DIR keeps journal, logs and data).")
            return code
    except Interrupted:
        terminal.print_line("Stopped; everything that was started has ended.")
        return EXIT_INTERRUPTED
    except (DirectoryError, StartError, PipelineFault, ChildDied, StoreError, OSError, redis.RedisError) as error:
        terminal.print_line(f"The demo failed: {sentence_of(error)}")
        if options.json_file is not None:
            write_json(options.json_file, {"ok": False, "faults": [sentence_of(error)], "seed": plan.seed})
        return EXIT_FAILED


class _Demo:
    """The stages of one demo, in the order of `run`."""

    def __init__(
        self,
        plan: DemoPlan,
        options: DemoOptions,
        terminal: Terminal,
        stop: StopRequest,
        servers: ServerUrls,
        compiling: KernelCompiling,
        directory: Path,
        began: float,
    ) -> None:
        self._began = began
        self._plan = plan
        self._options = options
        self._terminal = terminal
        self._stop = stop
        self._servers = servers
        self._compiling = compiling
        self._first_candle_seconds: float | None = None
        self._over_since: float | None = None
        redis_url = servers.redis_url_of(CONSOLE_USER)
        self._place = RunPlace(directory, redis_url, PREFIX, servers.mongo_url, DATABASE, servers.redis_users)
        self._client = open_redis(redis_url)
        self._keys = Keys(PREFIX)
        self._calendar = SessionCalendar.load()
        universe = build_universe(plan.instruments, plan.seed, self._calendar, plan.session)
        self._tape = Tape(universe, self._calendar, plan.session)
        self._symbols = tuple(instrument.symbol for instrument in universe.instruments)
        self._shards = list(range(-(-plan.instruments // INSTRUMENTS_PER_CONNECTION)))
        self._tally = ClosedTally(self._shards)
        self._clock = new_stepped_clock(directory / "market_clock", plan.from_ms)
        self._reader = self._new_reader()
        self._pipeline = DemoPipeline(self._place, self._client, self._keys, self._shards, stop)

    def run(self) -> int:
        self._print_places()
        store = self._empty_corner()
        with HistoryWriting(self._tape, self._calendar, self._timeframes, self._plan.from_ms, store) as history:
            self._warming = Warming(history, self._pipeline, self._terminal.print_line)
            try:
                with self._terminal.view():
                    self._play()
                faults, worker = self._drain()
            finally:
                ending_faults = self._pipeline.end()
        figures = gather_figures(
            self._client, self._keys, store, self._tally, worker, self._plan, self._timeframes, self._tape
        )
        code = self._close(figures, [*faults, *ending_faults, *figures.faults()])
        self._print_what_next()
        return code

    def _environment(self) -> dict[str, str]:
        settings = {"API_KEY": "demo", "ACCESS_TOKEN": "demo-token", "HEALTH_TTL_SECONDS": "10"}
        if self._plan.instruments > MOST_WITH_HISTORY:
            settings["WARMUP"] = "false"  # else the rest would be fetched, three requests a second
        return own_environment(self._place, os.environ, **settings)

    @property
    def _timeframes(self) -> tuple[Timeframe, ...]:
        return self._options.settings.timeframes

    def _print_places(self) -> None:
        plan, place = self._plan, self._place
        self._terminal.print_line(
            f"Candlewick demo: {plan.session:%A %Y-%m-%d}, {plan.instruments} instruments, {plan.speed:g} times real "
            f"time (about {plan.real_seconds:,.0f} s), seed {plan.seed}, faults: {plan.faults}"
        )
        self._terminal.print_line(f"  redis    {shown_url(place.redis_url)}  (every key begins with {PREFIX})")
        self._terminal.print_line(f"  mongodb  {shown_url(place.mongo_url)}  (database {DATABASE})")
        self._terminal.print_line(f"  logs     {place.logs}")
        self._terminal.print_line(f"  journal  {place.journal}")

    def _empty_corner(self) -> MongoStore:
        clear_prefix(self._client, PREFIX)
        store = MongoStore(self._servers.mongo_url, DATABASE)
        store.clear()
        store.prepare()
        return store

    def _play(self) -> None:
        self._compiling.finish(self._stop, self._show_kernels)
        environment = self._environment() | self._clock.environment
        self._pipeline.start(self._plan, environment, self._symbols, self._options.record, self._show_start)
        if self._options.history_first and not wait_for(self._is_warm, LONGEST_HISTORY_SECONDS, self._stop):
            raise self._not_warm()
        self._watch()

    def _is_warm(self) -> bool:
        self._pipeline.check()
        self._terminal.show_steps(self._warming.steps)
        self._warming.advance(self._clock.now_ms())
        return self._warming.is_warm

    def _show_kernels(self) -> None:
        check_alive(self._servers.own)
        self._terminal.show_steps((self._compiling.step, *self._warming.steps))

    def _show_start(self) -> None:
        check_alive(self._servers.own)
        names = ", ".join(child.name for child in self._pipeline.children)
        self._terminal.show_steps((Step("processes", 0, 0, f"{names} come up"), *self._warming.steps))

    def _watch(self) -> None:
        end_ms = self._plan.until_ms + _LINGER_MS
        self._pipeline.play(end_ms, self._plan.speed)
        # The signal worker is waited for: else it would count all that closed as past.
        while self._clock.now_ms() < end_ms or not self._warming.is_warm:
            if self._stop.wait(1 / UPDATES_A_SECOND):
                break
            self._look()
            self._warming.advance(self._clock.now_ms())
            self._check_warming(end_ms)
        if not self._warming.is_warm:
            raise Interrupted

    def _check_warming(self, end_ms: int) -> None:
        """PipelineFault when the market is over and the signal worker is not warm for LONGEST_HISTORY_SECONDS."""
        now = time.monotonic()
        self._over_since = self._over_since or (now if self._clock.now_ms() >= end_ms else None)
        if self._over_since is not None and now - self._over_since > LONGEST_HISTORY_SECONDS:
            raise self._not_warm()

    def _not_warm(self) -> PipelineFault:
        minutes = LONGEST_HISTORY_SECONDS / 60
        return PipelineFault(f"The indicators are not warm after {minutes:g} minutes; see {self._place.logs}.")

    def _look(self) -> None:
        self._pipeline.check()
        check_alive(self._servers.own)
        if self._first_candle_seconds is None:
            self._look_for_first_candle()
        self._terminal.show(self._picture)

    def _look_for_first_candle(self) -> None:
        candle = next(iter(self._reader.live()), None)
        if candle is not None:
            self._first_candle_seconds = time.monotonic() - self._began
            self._terminal.print_line(first_candle_line(candle, self._first_candle_seconds))

    def _picture(self) -> Picture:
        return self._reader.picture(self._clock.now_ms(), self._pipeline.children, self._warming.steps)

    def _new_reader(self) -> PipelineReader:
        plan = self._plan
        title = f"Candlewick demo · {plan.session:%A %Y-%m-%d} · {plan.speed:g} times real time · seed {plan.seed}"
        return PipelineReader(
            self._client,
            self._keys,
            self._tally,
            title,
            (plan.from_ms, plan.until_ms),
            self._shown,
            shown_timeframe(self._timeframes, plan.speed).name,
        )

    @property
    def _shown(self) -> list[str]:
        by_class: dict[str, list[str]] = defaultdict(list)
        for instrument in self._tape.universe.instruments:
            by_class[instrument.session_class].append(instrument.symbol)
        return choose_shown(by_class, self._terminal.rows_for_candles)

    def _drain(self) -> tuple[list[str], dict[str, str]]:
        """A second Ctrl-C while this lasts ends the demo without closing figures."""
        if self._stop.requested:
            self._terminal.print_line("Stopping: what has arrived is processed first (Ctrl-C again: at once).")
        stop = StopRequest()
        stop.listen()
        faults = self._pipeline.drain(stop, self._look)
        return faults, read_health(self._client, self._keys).get(CANDLE_WORKER, {})

    def _close(self, figures: Figures, faults: list[str]) -> int:
        seconds = time.monotonic() - self._began
        self._terminal.draw(candles_table(figures))
        for line in figure_lines(figures):
            self._terminal.print_line(line)
        self._terminal.print_line(f"took      {seconds:.1f} s in all, seed {self._plan.seed}")
        for fault in faults:
            self._terminal.print_line(f"FAULT: {fault}")
        if not faults:
            self._terminal.print_line("Everything published is stored, and every process ended as asked.")
        if self._options.json_file is not None:
            write_json(self._options.json_file, self._as_dict(figures, faults, seconds))
        return EXIT_FAILED if faults else EXIT_OK

    def _print_what_next(self) -> None:
        """Leaves out what has ended by the time a person could type it."""
        servers_stay = self._servers.redis_is_shared and self._servers.mongo_is_shared
        is_for_now = servers_stay or self._options.stay or (may_stay() and not self._stop.requested)
        live = self._live_candles() if is_for_now else ()
        if not live:
            self._print_list("What to try next:", LATER_COMMANDS)
            return
        candle = max(live, key=lambda each: (each.symbol.startswith("NSE:"), each.volume or 0))
        commands = commands_to_try(self._place, candle.symbol, candle.timeframe, self._plan.session)
        if servers_stay:
            self._print_list("What to try next, where REDIS_URL and MONGO_URL are set as here:", commands[:2])
        else:
            self._print_list("What to try next, in another terminal:", commands)
            stay(self._options.stay, self._terminal.print_line)

    def _live_candles(self) -> Sequence[LiveCandle]:
        """None where Redis has ended: the verdict stands already."""
        with contextlib.suppress(redis.RedisError):
            return self._reader.live()
        return ()

    def _print_list(self, title: str, lines: Sequence[str]) -> None:
        self._terminal.print_line("\n  ".join((title, *lines)))

    def _as_dict(self, figures: Figures, faults: list[str], seconds: float) -> dict[str, Any]:
        plan, place = self._plan, self._place
        return {
            "ok": not faults,
            "faults": faults,
            "session": str(plan.session),
            "from_ms": plan.from_ms,
            "until_ms": plan.until_ms,
            "speed": plan.speed,
            "instruments": plan.instruments,
            "fault_mode": plan.faults,
            "seed": plan.seed,
            "interrupted": self._stop.requested,
            "redis_url": shown_url(place.redis_url),
            "prefix": PREFIX,
            "mongo_url": shown_url(place.mongo_url),
            "mongo_db": DATABASE,
            "directory": str(place.directory),
            "journal": str(place.journal),
            "logs": str(place.logs),
            "seconds": round(seconds, 1),
            "first_candle_seconds": self._first_candle_seconds,
            "signals_from_ms": self._warming.since_ms,
            **figures.as_dict(),
        }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """The closing figures for a script. OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def shown_url(url: str) -> str:
    """A URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rsplit("@", 1)[1]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))
