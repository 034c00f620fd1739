"""Whether the market keeps the hours we believe in, and who is silent in them: one look at a shard, as facts.

Trades (of an index: moves) that keep coming outside a class's hours mean that the table is wrong. Silence is judged
against habit: an illiquid option may be quiet for an hour, a large stock never for two minutes, and a class as seldom
as all of its instruments together. While there is no habit yet, that of the kind counts; see docs/RELIABILITY.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from utils.candles.encoding import Rows
from utils.candles.habits import Habits, is_large
from utils.candles.kernels.layout import AWAITS_ANY, Array, Shard
from utils.market.class_facts import ClassFacts, Outside, Quiet, Quiets
from utils.market.instruments import Instrument
from utils.market.ist import ist_date
from utils.market.sessions import Session, SessionCalendar
from utils.market.sessions_table import Places

AROUND_MS = 45 * 60_000  # an index moves before the open, with the auction, and after the end to its official close
LAST_TRADES_MS = 30_000  # after the end: trades stamped at the close itself (15:40:00), and what is matched last
CLASS_MS = 45_000  # no class is called silent before; its limit is longer where it is slow by habit
INSTRUMENT_MS, OPTION_MS = 60_000, 120_000
CLASS_GAPS, INSTRUMENT_GAPS = 20, 40  # times the typical gap
LONGEST_GAPS = 3
REAL_MS = 5_000  # no limit is shorter than so much real time: a fast clock makes small pauses long
HABIT_BEATS = 20  # that make a habit which one can be sure of
LIQUID_LOOKS = 5  # who is quoted at each fifth look or more often is liquid


@dataclass(slots=True)
class _Group:
    """Instruments that keep the same hours today. `outside` is what the shard had counted at the last look."""

    facts: ClassFacts
    rows: Array
    session: Session | None
    prices: Array | None = None  # at the last look, of rows that come without a volume; 0 for the others
    outside: int = 0
    unexpected: Outside = field(default_factory=Outside)


@dataclass(frozen=True, slots=True)
class _Silence:
    """By row: for how long, whether it was quoted at all since the subscription, and what that means for it alone."""

    is_open: Array
    quiet_ms: Array
    is_unquoted: Array
    is_silent: Array
    is_unsure: Array


class ClassWatch:
    """Looks at one shard once a second (real time)."""

    def __init__(self, calendar: SessionCalendar, symbols: Collection[str], speed: float) -> None:
        """`symbols`: those asked for; others are of an earlier subscription, and need not be quoted."""
        self._calendar, self._symbols = calendar, frozenset(symbols)
        self._look_ms = max(1_000.0, 1_000.0 * speed)
        self._shortest_ms = round(REAL_MS * max(1.0, speed))
        self._class_ms = max(CLASS_MS, self._shortest_ms)
        self._habits = Habits(self._look_ms)
        self._made_for: tuple[date, Rows] | None = None
        self._groups: list[_Group] = []
        self._instruments: list[Instrument] = []
        self._is_asked = self._is_option = self._is_large = np.zeros(0, np.bool_)

    def look(self, shard: Shard, rows: Rows, at_ms: int, is_live: bool) -> list[ClassFacts]:
        """`at_ms` is the shard's own time; while a backlog is drained (not `is_live`) silence means nothing."""
        day = ist_date(at_ms)
        if self._made_for != (day, rows):
            self._made_for = day, rows
            self._know(rows, day)
        self._habits.look(shard, is_live)
        silence = self._silence(shard, at_ms) if is_live and shard.feed[0]["up"] else None
        for group in self._groups:
            _count_outside(group, shard)
            _count_moves(group, shard, at_ms)
        return [self._facts(group, silence, at_ms) for group in self._groups]

    def _know(self, rows: Rows, day: date) -> None:
        self._instruments = list(rows.instruments)
        self._habits.know(self._instruments)
        self._is_asked = np.array([instrument.symbol in self._symbols for instrument in self._instruments], np.bool_)
        self._is_option = np.array([instrument.is_option for instrument in self._instruments], np.bool_)
        self._is_large = np.array([is_large(instrument) for instrument in self._instruments], np.bool_)
        found: defaultdict[tuple[str, Session | None], list[int]] = defaultdict(list)
        for row, instrument in enumerate(self._instruments):
            name = _name(instrument, self._calendar.narrowed(instrument.places))
            found[name, self._calendar.for_instrument(instrument, day)].append(row)
        self._groups = []
        for (name, session), of_group in found.items():
            is_known = self._instruments[of_group[0]].hours_class is not None
            window = (session.open_ms, session.close_ms) if session is not None else (0, 0)
            facts = ClassFacts(name, len(of_group), is_known, *window)
            self._groups.append(_Group(facts, np.array(of_group), session))

    def _silence(self, shard: Shard, at_ms: int) -> _Silence:
        habits, hours, feed = self._habits, shard.instruments, shard.feed[0]
        quiet_ms = at_ms - np.maximum(np.maximum(habits.quoted_ms, hours["open_ms"]), feed["up_since_ms"])
        # A cached packet may be without a price, or older than what is known: nothing is shown of it, yet it came.
        is_unquoted = (habits.quoted_ms < feed["up_since_ms"]) & (hours["awaiting"] == AWAITS_ANY)
        floor_ms = np.maximum(np.where(self._is_option, OPTION_MS, INSTRUMENT_MS), self._shortest_ms)
        habit_ms = np.maximum(INSTRUMENT_GAPS * habits.typical_ms, LONGEST_GAPS * habits.longest_ms)
        is_over = quiet_ms > np.maximum(floor_ms, habit_ms)
        is_habit = (habits.beats >= HABIT_BEATS) & (habits.typical_ms <= LIQUID_LOOKS * self._look_ms)
        is_silent = (is_over & (self._is_large | is_habit)) | (is_unquoted & (quiet_ms > floor_ms) & ~self._is_option)
        # The first packet after a subscription is cached, so it comes at once, whatever is traded.
        is_unsure = ~is_silent & (is_over | (is_unquoted & (quiet_ms > self._shortest_ms)))
        is_open = self._is_asked & (hours["open_ms"] <= at_ms) & (at_ms < hours["close_ms"])
        return _Silence(is_open, quiet_ms, is_unquoted, is_silent, is_unsure)

    def _facts(self, group: _Group, silence: _Silence | None, at_ms: int) -> ClassFacts:
        facts = group.facts._replace(outside=group.unexpected)
        if silence is None or not silence.is_open[group.rows].any():
            return facts
        rows = group.rows[silence.is_open[group.rows]]
        quoted = rows[~silence.is_unquoted[rows]]
        quiet_ms, early_ms = int(silence.quiet_ms[rows].min()), 0 if self._is_option[rows].all() else self._class_ms
        return facts._replace(
            since_ms=at_ms - quiet_ms,
            quiet_ms=quiet_ms,
            limit_ms=self._limit_ms(quoted if len(quoted) else rows),
            unquoted_ms=0 if len(quoted) else early_ms,
            unseen_ms=early_ms if self._habits.stamps_ms[rows].max() < facts.open_ms else 0,
            silent=self._quiets(rows[silence.is_silent[rows]], silence),
            unsure=self._quiets(rows[silence.is_unsure[rows]], silence),
        )

    def _limit_ms(self, rows: Array) -> int:
        """Together they are quoted as often as all of them together are."""
        together_ms = 1.0 / float((1.0 / self._habits.typical_ms[rows]).sum())
        longest_ms = float(self._habits.longest_ms[rows].min())
        return round(max(self._class_ms, CLASS_GAPS * together_ms, LONGEST_GAPS * longest_ms))

    def _quiets(self, rows: Array, silence: _Silence) -> Quiets:
        quiets = (Quiet(self._instruments[row].symbol, int(silence.quiet_ms[row])) for row in rows.tolist())
        return Quiets.of(quiets, len(rows))


def _name(instrument: Instrument, narrowed: Places) -> str:
    """`NFO-FUT index_derivative`, `NSE equity`, `MCX:KAPAS commodity` (hours by underlying), `NSEIX`."""
    if instrument.hours_class is None:
        return instrument.exchange
    of_underlying = [place for place in narrowed if ":" in place]
    if of_underlying:
        return f"{of_underlying[0]} {instrument.hours_class}"
    place = instrument.segment if instrument.segment.startswith(instrument.exchange) else instrument.exchange
    return f"{place} {instrument.hours_class}"


def _count_outside(group: _Group, shard: Shard) -> None:
    """What came since the last look, but for trades of the post-close session and of the moment after it."""
    outside = int(shard.instruments["outside"][group.rows].sum())
    latest_ms, session = int(shard.instruments["outside_ms"][group.rows].max()), group.session
    is_expected = session is not None and session.day_end_ms <= latest_ms < session.post_end_ms + LAST_TRADES_MS
    if outside > group.outside and not is_expected:
        group.unexpected |= Outside(outside - group.outside, latest_ms)
    group.outside = outside


def _count_moves(group: _Group, shard: Shard, at_ms: int) -> None:
    """A price without a volume (of an index, or 8 bytes) that moved since the last look, whatever lies between."""
    session, before = group.session, group.prices
    has_volume, prices = (shard.latest[name][group.rows] for name in ("has_volume", "price"))
    group.prices = np.where(has_volume == 0, prices, 0)
    if before is None or not ((before > 0) & (group.prices > 0) & (before != group.prices)).any():
        return
    if session is None or not session.day_start_ms - AROUND_MS <= at_ms < session.post_end_ms + AROUND_MS:
        group.unexpected |= Outside(1, at_ms)
