"""One snapshot of Redis a trading day, after the last session: what a killed Redis returns with the next morning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import redis

from utils.market.instruments import Instrument
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar
from utils.runtime.log import BoundLogger

AFTER_MS = 120_000  # by then the day's candles are closed, and stored


class SessionSnapshot:
    """`look` belongs to the sender's thread, once a second or so.

    In the background: nobody waits for it, and after the session hardly a page is written while it is under way, so
    that its fork copies next to nothing.
    """

    def __init__(
        self,
        client: redis.Redis,
        calendar: SessionCalendar,
        instruments: Callable[[], Sequence[Instrument]],
        now_ms: Callable[[], int],
        log: BoundLogger,
    ) -> None:
        self._client = client
        self._calendar = calendar
        self._instruments = instruments
        self._now_ms = now_ms
        self._log = log
        self._done_on: date | None = None
        self._end_of: tuple[date, Sequence[Instrument], int] | None = None

    def look(self) -> bool:
        """Whether it was asked for just now. RedisError: it is not, and will be."""
        now_ms = self._now_ms()
        day = ist_date(now_ms)
        if day == self._done_on:
            return False
        end_ms = self._end_ms(day)
        if not end_ms or now_ms < end_ms + AFTER_MS:
            return False
        try:
            self._client.bgsave()
        except redis.exceptions.NoPermissionError:
            raise
        except redis.ResponseError as error:  # one is under way, or the provider knows no such command
            self._log.warning("no snapshot of Redis after the session", reason=str(error))
        self._done_on = day
        return True

    def _end_ms(self, day: date) -> int:
        """When the last of the instruments' sessions of the day ends; 0 when there is none."""
        instruments = self._instruments()
        if self._end_of is None or self._end_of[0] != day or self._end_of[1] is not instruments:
            sessions = (self._calendar.for_instrument(instrument, day) for instrument in instruments)
            end_ms = max((session.day_end_ms for session in sessions if session is not None), default=0)
            self._end_of = day, instruments, end_ms
        return self._end_of[2]
