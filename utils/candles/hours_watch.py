"""Whether the market keeps the hours that the session table believes in. Pure: the shard's state and its clock go in.

Trades (of an index: values that move) that keep coming outside a class's hours, or a whole class silent inside them,
mean that the table is wrong (or the exchange halted): candles are missing, or wait for nothing. Where a book moves
nobody is silent: an illiquid contract may be without a trade all day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from utils.candle import iso_ist
from utils.candles.layout import Array, Shard
from utils.candles.rows import Rows
from utils.hours_doubts import Doubt
from utils.instruments import Instrument
from utils.sessions import Session, SessionCalendar, ist_date

FEWEST_OUTSIDE = 3  # trades: one or two may be strays
TOGETHER_MS = 600_000  # and so are some that have so long between them, of thousands of contracts in a day
AROUND_MS = 45 * 60_000  # an index moves before the open, with the auction, and after the end to its official close
LAST_TRADES_MS = 30_000  # after the end: trades stamped at the close itself (15:40:00), and what is matched last
SILENT_MS = 45_000
SILENT_OPTIONS_MS = 15 * 60_000  # options alone may be quiet for long
GAPS = 3  # a class that was quiet for so long before is silent only after so many times that


@dataclass(slots=True)
class _Group:
    """Instruments that keep the same hours today."""

    name: str
    rows: Array
    session: Session | None
    is_known: bool
    silent_ms: int
    prices: Array | None = None  # at the last look, of rows that come without a volume; 0 for the others
    outside: int = 0  # as counted by the shard, at the last look
    unexpected: int = 0
    what: str = "trades"
    latest_ms: int = 0
    last_sign_ms: int = 0
    longest_gap_ms: int = 0


class HoursWatch:
    """Looks at one engine again and again; `doubts` tells what speaks against the hours, by class."""

    def __init__(self, calendar: SessionCalendar) -> None:
        self._calendar = calendar
        self._made_for: tuple[date, Rows] | None = None
        self._groups: list[_Group] = []

    def doubts(self, shard: Shard, rows: Rows, now_ms: int) -> dict[Doubt, list[str]]:
        """`{OUTSIDE: ["MCX-FUT commodity (3 trades, the last of 23:56:10)"]}`; `now_ms` is the stream's clock."""
        self._group(rows, ist_date(now_ms))
        found: defaultdict[Doubt, list[str]] = defaultdict(list)
        for group in self._groups:
            if not group.is_known:
                found[Doubt.UNKNOWN].append(f"{group.name} ({len(group.rows)} instruments)")
            _note_trades(group, shard)
            _note_values(group, shard, now_ms)
            if group.unexpected >= FEWEST_OUTSIDE:
                found[Doubt.OUTSIDE].append(
                    f"{group.name} ({group.unexpected:,} {group.what}, the last of {_clock(group.latest_ms)})"
                )
            since_ms = _silent_since_ms(group, shard, now_ms)
            if since_ms:
                found[_kind_of_silence(group)].append(f"{group.name} (since {_clock(since_ms)})")
        return dict(found)

    def _group(self, rows: Rows, day: date) -> None:
        """Anew when the day or who is watched changed."""
        if self._made_for is not None and self._made_for[0] == day and self._made_for[1] is rows:
            return
        self._made_for = day, rows
        found: defaultdict[tuple[str, Session | None], list[int]] = defaultdict(list)
        for row, one in enumerate(rows.instruments):
            found[_name(one), self._calendar.for_instrument(one, day)].append(row)
        self._groups = [
            _Group(
                name=name,
                rows=np.array(of_group),
                session=session,
                is_known=rows.instruments[of_group[0]].hours_class is not None,
                silent_ms=_patience_ms([rows.instruments[row] for row in of_group]),
            )
            for (name, session), of_group in found.items()
        ]


def _name(one: Instrument) -> str:
    """`NFO-FUT index_derivative`, `NSE equity`, `MCX commodity` (of an index, too), `NSEIX`."""
    if one.hours_class is None:
        return one.exchange
    place = one.segment if one.segment.startswith(one.exchange) else one.exchange
    return f"{place} {one.hours_class}"


def _patience_ms(instruments: Sequence[Instrument]) -> int:
    only_options = all(one.is_option for one in instruments)
    return SILENT_OPTIONS_MS if only_options else SILENT_MS


def _note_trades(group: _Group, shard: Shard) -> None:
    """Those that came since the last look, but for the post-close session's and those of the moment after it."""
    outside = int(shard.instruments["outside"][group.rows].sum())
    latest_ms, session = int(shard.instruments["outside_ms"][group.rows].max()), group.session
    is_expected = session is not None and session.day_end_ms <= latest_ms < session.post_end_ms + LAST_TRADES_MS
    if outside > group.outside and not is_expected:
        _note_outside(group, outside - group.outside, latest_ms)
    group.outside = outside


def _note_values(group: _Group, shard: Shard, now_ms: int) -> None:
    """A price without a volume (of an index, or 8 bytes) that moved since the last look, whatever lies between."""
    session, before = group.session, group.prices
    has_volume, prices = (shard.latest[name][group.rows] for name in ("has_volume", "price"))
    group.prices = np.where(has_volume == 0, prices, 0)
    if before is None or not ((before > 0) & (group.prices > 0) & (before != group.prices)).any():
        return
    if session is None or not session.day_start_ms - AROUND_MS <= now_ms < session.post_end_ms + AROUND_MS:
        group.what = "values"
        _note_outside(group, 1, now_ms)


def _note_outside(group: _Group, count: int, latest_ms: int) -> None:
    if group.unexpected < FEWEST_OUTSIDE and latest_ms - group.latest_ms > TOGETHER_MS:
        group.unexpected = 0
    group.unexpected += count
    group.latest_ms = latest_ms


def _silent_since_ms(group: _Group, shard: Shard, now_ms: int) -> int:
    """When the last sign of trading came, 0 while there is no reason to wonder."""
    session, feed = group.session, shard.feed[0]
    if session is None or not feed["up"] or not session.open_ms <= now_ms < session.close_ms:
        return 0
    last_ms = _last_sign_ms(group, shard)
    if last_ms > group.last_sign_ms >= session.open_ms:
        group.longest_gap_ms = max(group.longest_gap_ms, last_ms - group.last_sign_ms)
    group.last_sign_ms = max(group.last_sign_ms, last_ms)
    since_ms = max(session.open_ms, last_ms, int(feed["up_since_ms"]))
    return since_ms if now_ms - since_ms >= max(group.silent_ms, GAPS * group.longest_gap_ms) else 0


def _kind_of_silence(group: _Group) -> Doubt:
    has_begun = group.session is not None and group.last_sign_ms >= group.session.open_ms
    return Doubt.QUIET if has_begun else Doubt.SILENT


def _last_sign_ms(group: _Group, shard: Shard) -> int:
    """The latest sign of trading: a trade's time, or a quote's; where packets have none, when the latest came."""
    is_untimed = shard.latest["timed"][group.rows] == 0
    untimed = shard.latest["receive_ms"][group.rows[is_untimed]]
    timed = shard.instruments[["trade_ms", "exchange_ms"]][group.rows]
    return int(max(timed["trade_ms"].max(), timed["exchange_ms"].max(), untimed.max(initial=0)))


def _clock(at_ms: int) -> str:
    return iso_ist(at_ms)[11:19]
