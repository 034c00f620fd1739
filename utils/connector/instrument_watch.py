"""Finds the instruments asked for in the broker's dump, at the start and again each day, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from utils.kite.instrument_dump import InstrumentDump, dump_day, load_dump
from utils.market.hours_kept import without_hours
from utils.market.instrument_names import with_suggestions
from utils.market.instruments import DumpError, Instrument, select
from utils.runtime.log import BoundLogger
from utils.runtime.timing import RetryDelay

LOOK_SECONDS = 1.0
RETRY_SECONDS = (1.0, 60.0)
NAMED_AT_MOST = 20


def shard_of(position: int, symbols: int, shards: int) -> int:
    """Which connection takes the symbol at this place of the list: evenly, in order, whatever the dump lacks."""
    return position * shards // symbols


def spread(instruments: Sequence[Instrument], symbols: Sequence[str], shards: int) -> list[list[Instrument]]:
    """The instruments of each connection, in the order of `symbols`."""
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    parts: list[list[Instrument]] = [[] for _ in range(shards)]
    for position, symbol in enumerate(symbols):
        if symbol in by_symbol:
            parts[shard_of(position, len(symbols), shards)].append(by_symbol[symbol])
    return parts


class InstrumentWatch:
    """Calls `on_found` at the start and whenever a new day's dump changes them; `on_none` when there are none."""

    def __init__(
        self,
        api_url: str,
        directory: Path,
        symbols: Sequence[str],
        authorization: Callable[[], str],
        now_ms: Callable[[], int],
        on_found: Callable[[list[Instrument]], None],
        on_none: Callable[[str], None],
        log: BoundLogger,
    ) -> None:
        self._api_url = api_url
        self._directory = directory
        self._symbols = symbols
        self._authorization = authorization
        self._now_ms = now_ms
        self._on_found = on_found
        self._on_none = on_none
        self._log = log
        self._found: list[Instrument] = []
        self._missing: list[str] = []
        self._notes: tuple[str, ...] = ()
        self._fault = ""
        self._missing_sentence = ""
        self._ending = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="instrument-watch", daemon=True).start()

    def stop(self) -> None:
        self._ending.set()

    def health_fields(self) -> dict[str, str]:
        """Sentences about the instruments, empty when all is well; may be asked from any thread."""
        return {
            "instruments_fault": self._fault,
            "instruments_missing": self._missing_sentence,
            "instruments_note": "; ".join(self._notes),
        }

    def _run(self) -> None:
        held: date | None = None
        delay = RetryDelay(*RETRY_SECONDS)
        wait_seconds = 0.0
        while not self._ending.wait(wait_seconds):
            wait_seconds = LOOK_SECONDS
            day = dump_day(self._now_ms())
            if day == held:
                continue
            if self._look(day):
                held = day
                delay.reset()
            else:
                wait_seconds = delay.next_seconds()

    def _look(self, day: date) -> bool:
        """Takes what there is; True when it was the dump of this very day."""
        try:
            dump = load_dump(self._api_url, self._directory, day, self._authorization())
            self._take(dump, is_current=dump.day == day)
        except DumpError as error:
            self._fault = str(error)
            self._log.warning(f"{error}; it is tried again")
            return False
        except Exception as error:
            self._log.error("instrument lookup failed, retrying", error=str(error), exc_info=True)
            return False
        return dump.day == day

    def _take(self, dump: InstrumentDump, is_current: bool) -> None:
        found, missing = select(dump.instruments, self._symbols)
        self._report_notes(dump, missing)
        self._fault = ""
        if not found:
            self._fault = (
                f"INSTRUMENTS: none of them is in the broker's instruments of {dump.day} "
                f"({_named(missing, dump)}); write them as EXCHANGE:TRADINGSYMBOL, such as NSE:INFY"
            )
            if is_current and not self._found:
                self._on_none(self._fault)
            return
        if found != self._found:
            self._found = found
            self._log.info("instruments found", count=len(found), day=dump.day.isoformat())
            self._on_found(found)

    def _report_notes(self, dump: InstrumentDump, missing: list[str]) -> None:
        if dump.notes != self._notes:
            self._notes = dump.notes
            for note in dump.notes:
                self._log.warning(note)
        if missing != self._missing:
            self._missing, unknown = missing, without_hours(missing)
            absent = [symbol for symbol in missing if symbol not in unknown]
            self._missing_sentence = (
                f"{len(absent)} of INSTRUMENTS not in the broker's instruments of {dump.day}, "
                f"and not watched: {_named(absent, dump)}"
                if absent
                else ""
            )
            if absent:
                self._log.warning(self._missing_sentence)
            if unknown:
                self._log.warning(
                    f"{len(unknown)} of INSTRUMENTS are of an exchange whose trading hours nobody knows, "
                    f"and not watched: {', '.join(unknown)}; take them out of INSTRUMENTS"
                )


def _named(symbols: list[str], dump: InstrumentDump) -> str:
    named = ", ".join(with_suggestions(symbols[:NAMED_AT_MOST], dump.instruments))
    more = len(symbols) - NAMED_AT_MOST
    return f"{named} and {more} more" if more > 0 else named
