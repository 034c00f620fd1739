"""Trading sessions: which hours an instrument keeps on which day. The hours themselves are `sessions.toml`.

Whose hours an instrument keeps is asked of its exchange first (`Instrument.hours_class`); what lists on an exchange
that nobody knows has none. Windows are half-open, in epoch milliseconds; days are IST dates. India has no
daylight-saving time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import MINUTE_MS, ist_midnight_ms
from utils.market.sessions_file import read_table
from utils.market.sessions_table import Hours, Places, Ruling, Table

MOST_CLOSED_DAYS = 60

SESSIONS_FILE = Path(__file__).with_name("sessions.toml")


@dataclass(frozen=True, slots=True)
class Session:
    """One day's hours of a class: continuous trading is [open_ms, close_ms), `1d` counts [day_start_ms, day_end_ms).

    The day's window holds pre-open and closing auction where the class has them; post-close is in neither, and ends
    at `post_end_ms` (`day_end_ms` where there is none).
    """

    date: date
    open_ms: int
    close_ms: int
    day_start_ms: int
    day_end_ms: int
    post_end_ms: int = field(default=0, compare=False)


MOST_ANSWERS = 4_096  # kept; a year has more classes and days than that


class SessionCalendar:
    """Answers from the dated table. Cheap to ask again: answers are kept."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._narrow = frozenset(place for _, place in table.narrow)
        self._uncertain = table.uncertain_days
        self._answers: dict[tuple[SessionClass, Places, date, bool], Session | None] = {}

    @classmethod
    def load(cls, path: Path | None = None, local: Path | None = None) -> SessionCalendar:
        """From `utils/market/sessions.toml` or another file, and before it a file of one's own when it is there.

        SessionsError names in one sentence what is wrong with one of them.
        """
        return cls(read_table(path or SESSIONS_FILE, local if local is not None and local.is_file() else None))

    @property
    def last_known_day(self) -> date:
        """The last day that the lists of holidays cover."""
        return self._table.known_to

    def session(
        self, session_class: SessionClass, day: date, expiry: str = "", places: Places = ()
    ) -> Session | None:
        """The day's hours of a class, None when closed; `places` as in `Instrument.places`.

        `expiry` (ISO date): a contract may stop earlier on its last day.
        """
        key = (session_class, self.narrowed(places), day, bool(expiry) and expiry == day.isoformat())
        try:
            return self._answers[key]
        except KeyError:
            if len(self._answers) >= MOST_ANSWERS:
                self._answers.clear()
            return self._answers.setdefault(key, self._work_out(*key))

    def narrowed(self, places: Places) -> Places:
        """Of these places those that have entries of their own: they alone keep two instruments of a class apart."""
        return tuple(place for place in places if place in self._narrow)

    def narrow_places(self, session_class: SessionClass) -> list[str]:
        """All places at which the class has entries of its own."""
        return sorted(place for of_class, place in self._table.narrow if of_class == session_class)

    def for_instrument(self, instrument: Instrument, day: date) -> Session | None:
        """The day's hours of one instrument, its own expiry minded; None, too, where nobody knows its hours."""
        session_class = instrument.hours_class
        if session_class is None:
            return None
        return self.session(session_class, day, instrument.expiry, instrument.places)

    def ruling(self, session_class: SessionClass, places: Places, day: date) -> Ruling:
        """What the files have for a day, with their sources."""
        return self._table.ruling(session_class, places, day)

    def is_known(self, day: date) -> bool:
        """False outside what the table covers and on days whose hours are a guess: warn, and use what is given."""
        covered = self._table.known_from <= day <= self._table.known_to
        return covered and day not in self._uncertain

    def next_trading_day(self, session_class: SessionClass, day: date, places: Places = ()) -> date:
        """The first day after `day` on which the class trades."""
        return self._walk(session_class, day, 1, places)

    def previous_trading_day(self, session_class: SessionClass, day: date) -> date:
        """The last day before `day` on which the class traded."""
        return self._walk(session_class, day, -1, ())

    def _walk(self, session_class: SessionClass, day: date, step: int, places: Places) -> date:
        for distance in range(1, MOST_CLOSED_DAYS):
            candidate = day + timedelta(days=step * distance)
            if self.session(session_class, candidate, places=places) is not None:
                return candidate
        raise ValueError(f"{session_class} does not trade within {MOST_CLOSED_DAYS} days of {day}")

    def _work_out(self, session_class: SessionClass, places: Places, day: date, expiring: bool) -> Session | None:
        hours = self._table.ruling(session_class, places, day).hours
        return _session(day, hours, expiring) if hours is not None else None


def _session(day: date, hours: Hours, expiring: bool) -> Session:
    midnight_ms = ist_midnight_ms(day)
    close_minute, end_minute = hours.close, hours.day_end
    if expiring and hours.expiring_close is not None:
        close_minute = min(close_minute, hours.expiring_close)
        end_minute = min(end_minute, hours.expiring_close)
    return Session(
        date=day,
        open_ms=midnight_ms + hours.open * MINUTE_MS,
        close_ms=midnight_ms + close_minute * MINUTE_MS,
        day_start_ms=midnight_ms + hours.day_start * MINUTE_MS,
        day_end_ms=midnight_ms + end_minute * MINUTE_MS,
        post_end_ms=midnight_ms + max(end_minute, hours.post_end or 0) * MINUTE_MS,
    )
