"""What a demo is asked to play, checked: the session, the stretch of it, the speed, the market and its faults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

from simulator.faults import parse_faults
from simulator.universe import FEWEST
from utils.market.instruments import SessionClass
from utils.market.ist import IST
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import INSTRUMENTS_PER_CONNECTION, MAX_CONNECTIONS

MOST = INSTRUMENTS_PER_CONNECTION * MAX_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when until when (IST, HH:MM) a demo plays, and at which speed."""

    start: str
    until: str
    speed: float


SHORT = Stretch("09:07", "10:37", 40.0)  # the pre-open session, the open, and the first candle of an hour
FULL = Stretch("09:00", "15:45", 60.0)


class PlanError(ValueError):
    """An option that cannot be played: one sentence."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """One stretch of one session. Times are epoch milliseconds; `speed` is market seconds a real second, at most."""

    session: date
    from_ms: int
    until_ms: int
    speed: float
    instruments: int
    faults: str
    seed: int

    @property
    def real_seconds(self) -> float:
        """How long the stretch takes to play."""
        return (self.until_ms - self.from_ms) / 1000 / self.speed


def asked_stretch(start: str | None, until: str | None, full: bool) -> tuple[str, str]:
    """Begin and end, HH:MM. An end that was not given is the day's own where the usual one would not fit."""
    usual = FULL if full else SHORT
    if (start or usual.start) < (until or usual.until):
        return start or usual.start, until or usual.until
    return start or FULL.start, until or FULL.until


def make_plan(
    session: date, start: str, until: str, speed: float, instruments: int, faults: str, seed: int
) -> DemoPlan:
    """A checked plan. `start` and `until` are IST times of day, HH:MM. PlanError names the option at fault."""
    calendar = SessionCalendar.load()
    if calendar.session(SessionClass.EQUITY, session) is None:
        following = calendar.next_trading_day(SessionClass.EQUITY, session)
        raise PlanError(f"--session: the exchange is closed on {session}; the next trading day is {following}.")
    from_ms, until_ms = _at(session, start, "--from"), _at(session, until, "--until")
    if until_ms <= from_ms:
        raise PlanError(f"--until: {until} is not after --from {start}.")
    if not 0 < speed < float("inf"):
        raise PlanError(f"--speed: {speed:g} is not above 0.")
    if not FEWEST <= instruments <= MOST:
        raise PlanError(f"--instruments: {instruments} is not within {FEWEST} and {MOST:,}.")
    try:
        parse_faults(faults)
    except ValueError as error:
        raise PlanError(f"--faults: {error}.") from None
    return DemoPlan(session, from_ms, until_ms, speed, instruments, faults, seed)


def _at(day: date, text: str, option: str) -> int:
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        raise PlanError(f"{option}: {text!r} is not a time of day such as 09:15.") from None
    return round(datetime.combine(day, clock, IST).timestamp() * 1000)
