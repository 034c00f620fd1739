"""Who is silent: each instrument against its own habit of today, in its own session, and each class as a whole.

An illiquid option may be quiet for an hour, a large stock never for two minutes. So an instrument's limit is a
multiple of its own typical and its own longest gap, and only what is liquid by habit is a problem. Times are market
time, ms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from utils.candles.layout import AWAITS_ANY, Array, Shard
from utils.candles.rows import Rows
from utils.class_state import ClassState
from utils.instruments import Instrument, SessionClass

CLASS_MS = 60_000  # a class that is silent so long is named; the limits below are longer for what is slow by habit
INSTRUMENT_MS = 120_000
LONGER_THAN_TYPICAL, LONGER_THAN_LONGEST = 20, 3
REAL_MS = 5_000  # no limit is shorter than so much real time: a fast clock makes small pauses long
HABIT_BEATS = 20  # a habit begins as that of its kind, and is its own after so many
TYPICAL_MS = {SessionClass.EQUITY_FNO: 3_000, SessionClass.INDEX: 3_000}
TYPICAL_OPTION_MS, TYPICAL_OTHER_MS = 60_000, 15_000
LIQUID_LOOKS = 5  # who is heard at each fifth look or more often is liquid
NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class ClassSilence:
    """`quiet_ms`: since when no instrument of the class was heard."""

    state: ClassState
    quiet_ms: int


@dataclass(frozen=True, slots=True)
class SilenceReport:
    """`silent` names those that ought to be heard, `quiet` those of which one can not be sure; both for people."""

    classes: dict[SessionClass, ClassSilence] = field(default_factory=dict)
    silent: str = ""
    quiet: str = ""


class Silence:
    """Learns the habits of a shard's instruments by looking once a second (real time)."""

    def __init__(self, symbols: Collection[str], speed: float) -> None:
        self._symbols = frozenset(symbols)
        self._look_ms = max(1_000.0, 1_000.0 * speed)
        self._shortest_ms = REAL_MS * max(1.0, speed)
        self._rows: Rows | None = None
        self._instruments: Sequence[Instrument] = ()
        self._heard_ms: Array = np.zeros(0, np.int64)
        self._gap_sum: Array = np.zeros(0, np.float64)
        self._longest: Array = np.zeros(0, np.float64)
        self._beats: Array = np.zeros(0, np.float64)
        self._presumed: Array = np.zeros(0, np.float64)
        self._is_asked: Array = np.zeros(0, np.bool_)
        self._is_option: Array = np.zeros(0, np.bool_)
        self._is_large: Array = np.zeros(0, np.bool_)
        self._classes: Array = np.zeros(0, np.str_)

    def look(self, state: Shard, rows: Rows, at_ms: int, is_live: bool) -> SilenceReport:
        """Learn from what was heard since the last look, and say who is silent."""
        if rows is not self._rows:
            self._know(rows)
        heard_ms = state.latest["receive_ms"]
        feed, hours = state.feed[0], state.instruments
        is_open = self._is_asked & (hours["open_ms"] <= at_ms) & (at_ms < hours["close_ms"])
        if is_live:
            self._learn(heard_ms, np.maximum(hours["open_ms"], feed["up_since_ms"]))
        self._heard_ms = heard_ms.copy()
        if not feed["up"] or not is_live or not is_open.any():
            return SilenceReport()
        since = np.maximum(np.maximum(heard_ms, hours["open_ms"]), feed["up_since_ms"])
        # A cached packet may be without a price, or older than what is known: nothing is shown of it, yet it came.
        is_unheard = (heard_ms < feed["up_since_ms"]) & (hours["awaiting"] == AWAITS_ANY)
        return self._report(is_open, at_ms - since, is_unheard)

    def _know(self, rows: Rows) -> None:
        """Other rows than before: habits stay with their symbols."""
        before = {one.symbol: row for row, one in enumerate(self._instruments)}
        self._rows, self._instruments = rows, tuple(rows.instruments)
        old = np.array([before.get(one.symbol, -1) for one in self._instruments], np.int64)
        for name in ("_heard_ms", "_gap_sum", "_longest", "_beats"):
            values = getattr(self, name)
            setattr(self, name, np.where(old >= 0, np.append(values, 0)[old], 0))
        presumed = [_typical_ms(one) for one in self._instruments]
        self._presumed = np.maximum(np.array(presumed, np.float64), self._look_ms)
        self._is_asked = self._are(lambda one: one.symbol in self._symbols)
        self._is_option = self._are(lambda one: one.is_option)
        self._is_large = self._are(lambda one: one.session_class is SessionClass.EQUITY_FNO)
        self._classes = np.array([str(one.session_class) for one in self._instruments], np.str_)

    def _are(self, has: Callable[[Instrument], bool]) -> Array:
        return np.array([has(one) for one in self._instruments], np.bool_)

    def _learn(self, heard_ms: Array, from_ms: Array) -> None:
        """Only gaps that ended, and lay in today's session on this connection."""
        gap = heard_ms - self._heard_ms
        ended = (gap > 0) & (self._heard_ms >= from_ms)
        self._beats += ended
        self._gap_sum += np.where(ended, gap, 0)
        self._longest = np.maximum(self._longest, np.where(ended, gap, 0))

    def _report(self, is_open: Array, quiet: Array, is_unheard: Array) -> SilenceReport:
        typical = (HABIT_BEATS * self._presumed + self._gap_sum) / (HABIT_BEATS + self._beats)
        classes = self._by_class(is_open, quiet, typical)
        mute = [str(name) for name, found in classes.items() if found.state is ClassState.MUTE]
        limit = np.maximum(LONGER_THAN_TYPICAL * typical, LONGER_THAN_LONGEST * self._longest)
        over = quiet > np.maximum(limit, max(INSTRUMENT_MS, self._shortest_ms))
        liquid = self._is_large | ((self._beats >= HABIT_BEATS) & (typical <= LIQUID_LOOKS * self._look_ms))
        # The first packet after a subscription is cached, so it comes at once, whatever is traded.
        unheard = is_unheard & (quiet > self._shortest_ms)
        never = is_unheard & (quiet > max(CLASS_MS, self._shortest_ms)) & ~self._is_option
        looked_at = is_open & ~np.isin(self._classes, mute)
        silent = looked_at & ((over & liquid) | never)
        not_sure = looked_at & ~silent & (over | unheard)
        return SilenceReport(classes, self._named(silent, quiet), self._named(not_sure, quiet))

    def _by_class(self, is_open: Array, quiet: Array, typical: Array) -> dict[SessionClass, ClassSilence]:
        """Together they are heard as often as all of them together are."""
        found: dict[SessionClass, ClassSilence] = {}
        shortest_ms = max(CLASS_MS, self._shortest_ms)
        for name in np.unique(self._classes[is_open]).tolist():
            members = is_open & (self._classes == name)
            quiet_ms = int(quiet[members].min())
            together_ms = 1.0 / float((1.0 / typical[members]).sum())
            longest_ms = float(self._longest[members].min())
            limit = max(shortest_ms, LONGER_THAN_TYPICAL * together_ms, LONGER_THAN_LONGEST * longest_ms)
            state = ClassState.MUTE if quiet_ms > limit else ClassState.TRADING
            found[SessionClass(name)] = ClassSilence(state, quiet_ms)
        return found

    def _named(self, chosen: Array, quiet: Array) -> str:
        """The most silent ones first: `NSE:TCS (12 min), NSE:INFY (3 min) and 7 more`."""
        rows = np.flatnonzero(chosen)
        first = rows[np.argsort(-quiet[rows], kind="stable")][:NAMED_AT_MOST]
        named = [f"{self._instruments[row].symbol} ({_minutes(int(quiet[row]))})" for row in first.tolist()]
        more = len(rows) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")


def _typical_ms(instrument: Instrument) -> int:
    """Of its kind, until it has a habit of its own."""
    if instrument.is_option:
        return TYPICAL_OPTION_MS
    return TYPICAL_MS.get(instrument.session_class, TYPICAL_OTHER_MS)


def _minutes(ms: int) -> str:
    return f"{ms // 1000} s" if ms < CLASS_MS * 2 else f"{ms // 60_000} min"
