"""When the exchange looks at a row, which of these looks become packets, and what each of them shows.

A row is looked at once in the second half of each second and, about every other second, in its first half too; now
and then not at all for some seconds. A trade is shown at the first look after it, so its packet may carry a later
second than the trade does. At one look in seven that finds a trade the last price comes first (`leads`): all else is
still as it was at the look before, and the next look, which is always sent, brings it.

All of it is drawn for (token, second). The state carried from a minute to the next (`Carried`) follows from the
trades of the minute alone: a late start sends the same packets as an early one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.day_book import States
from simulator.dice import Ints, Keys, Salt, draw_keys, mix, uniform

LOOKS = 120  # a minute's: column 2 * second is the early one of that second, 2 * second + 1 the usual one
EARLY_SHARE = 0.5
# Of the looks that find a trade: where the next finds one too, where it does not, where the next is another minute's.
# Two in a row do not lead. In all one in seven leads, and about half of their prices are gone in the next packet.
LEAD_SHARES = (0.24, 0.13, 0.15)
STALL_BLOCK_S, STALL_SHARE = 10, 0.03
SHORTEST_STALL_S, LONGEST_STALL_S = 2, 7
HALF_MS = 500

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Table = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Mask = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Times:
    """[rows, LOOKS]: the millisecond of the minute up to which a look sees, and whether it happens at all."""

    until_ms: Table
    there: Mask


def look_times(seed: int, tokens: Ints, is_index: Flags, first_s: int) -> Times:
    """The looks of the minute from `first_s` on. An index has a value each second, looked at when that is over."""
    seconds = np.arange(60)
    dice = mix(draw_keys(seed, tokens[:, None], Salt.LOOK, first_s + seconds))
    until = np.empty((len(tokens), 60, 2), dtype=np.int64)
    until[:, :, 0] = seconds * 1000 + 1 + _share(dice, 0) * HALF_MS // (1 << 16)
    until[:, :, 1] = seconds * 1000 + 1 + HALF_MS + _share(dice, 16) * HALF_MS // (1 << 16)
    until[:, :, 1][is_index] = (seconds + 1) * 1000
    there = np.empty((len(tokens), 60, 2), dtype=np.bool_)
    there[:, :, 1] = is_index[:, None] | ~_stalled(seed, tokens, first_s)
    there[:, :, 0] = there[:, :, 1] & ~is_index[:, None] & (_share(dice, 32) < EARLY_SHARE * (1 << 16))
    return Times(until.reshape(-1, LOOKS), there.reshape(-1, LOOKS))


def _share(dice: Keys, shift: int) -> Ints:
    """16 bits of the dice: 0 to 65535."""
    return ((dice >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)


def _stalled(seed: int, tokens: Ints, first_s: int) -> Mask:
    """[rows, 60]: seconds without looks, at the end of some blocks of ten: their trades are shown later."""
    blocks = first_s // STALL_BLOCK_S + np.arange(60 // STALL_BLOCK_S)
    keys = draw_keys(seed, tokens[:, None], Salt.STALL, blocks)
    span = LONGEST_STALL_S - SHORTEST_STALL_S + 1
    length = SHORTEST_STALL_S + np.floor(uniform(draw_keys(keys, 1)) * span).astype(np.int64)
    length = np.where(uniform(keys) < STALL_SHARE, length, 0).repeat(STALL_BLOCK_S, axis=1)
    stalled: Mask = np.arange(60) % STALL_BLOCK_S >= STALL_BLOCK_S - length
    return stalled


@dataclass(frozen=True, slots=True)
class Carried:
    """By row, the state that the last look of a minute leaves to the next minute's first.

    shown: what it saw; pending: a trade came after it; candidate: it might have led; led: it did.
    """

    shown: States
    pending: Flags
    candidate: Flags
    led: Flags

    @classmethod
    def nothing(cls, shown: States) -> Carried:
        none = np.zeros(len(shown), dtype=np.bool_)
        return cls(shown, none, none, none)


@dataclass(frozen=True, slots=True)
class Looks:
    """[rows, LOOKS]: positions in `table` of the state each look saw, of the look before, and of its day range.

    The range is a trade behind where a trade is new (not for an index: no recording shows it).
    found: there is a trade since the look before; owed: the look before led. The table is the states of the minute,
    and after them what each row was carrying.
    """

    table: States
    at: Table
    before: Table
    range_at: Table
    there: Mask
    found: Mask
    leads: Mask
    owed: Mask
    carried: Carried


def look(seed: int, tokens: Ints, is_index: Flags, first_s: int, states: States, carried: Carried) -> Looks:
    """`states`: those after each trade of the minute, with each row's state before the minute first."""
    times, rows = look_times(seed, tokens, is_index, first_s), np.arange(len(tokens))
    first = np.searchsorted(states.row, rows)
    counts = _counts(times, states, first_s)
    at = first[:, None] + np.cumsum(counts[:, :LOOKS], axis=1)
    is_first = times.there & (np.cumsum(times.there, axis=1) == 1)
    earlier = at - counts[:, :LOOKS]
    before = np.where(np.cumsum(times.there, axis=1) <= 1, (len(states) + rows)[:, None], earlier)
    found = times.there & ((counts[:, :LOOKS] > 0) | (is_first & carried.pending[:, None]))
    candidate = _candidates(seed, tokens, first_s, times.there, found & ~is_index[:, None])
    leads = candidate & ~_looked_before(times.there, candidate, carried.candidate)
    table = States(*(np.concatenate(pair) for pair in zip(states.columns(), carried.shown.columns(), strict=True)))
    return Looks(
        table=table,
        at=at,
        before=before,
        range_at=_range_at(table, at, before, counts[:, :LOOKS], found & ~is_index[:, None], leads),
        there=times.there,
        found=found,
        leads=leads,
        owed=times.there & _looked_before(times.there, leads, carried.led),
        carried=Carried(
            shown=states.select(at[:, -1]),
            pending=counts[:, LOOKS] > 0,
            candidate=_last_looked(times.there, candidate),
            led=_last_looked(times.there, leads),
        ),
    )


def _counts(times: Times, states: States, first_s: int) -> Table:
    """[rows, LOOKS + 1]: how many trades of the minute each look is the first to see; in the last column, no look."""
    fresh = np.flatnonzero(states.ms >= first_s * 1000)
    row, offset = states.row[fresh], states.ms[fresh] - first_s * 1000
    early = offset // 1000 * 2
    column = early + (offset >= times.until_ms[row, early]) + (offset >= times.until_ms[row, early + 1])
    coming = _coming(times.there)
    cell = row * (LOOKS + 1) + coming[row, column]
    counts: Table = np.bincount(cell, minlength=coming.size).reshape(coming.shape)
    return counts


def _coming(there: Mask) -> Table:
    """[rows, LOOKS + 1]: the first look at or after each; LOOKS where there is none in the minute."""
    found = np.full((len(there), LOOKS + 1), LOOKS, dtype=np.int64)
    found[:, :LOOKS][there] = np.broadcast_to(np.arange(LOOKS), there.shape)[there]
    return np.minimum.accumulate(found[:, ::-1], axis=1)[:, ::-1]


def _candidates(seed: int, tokens: Ints, first_s: int, there: Mask, found: Mask) -> Mask:
    """Looks that might lead: more often those whose price a newer one follows at once, as in recordings."""
    row, column = np.nonzero(found)
    following = _coming(there)[row, column + 1]
    share = np.where(found[row, np.minimum(following, LOOKS - 1)], LEAD_SHARES[0], LEAD_SHARES[1])
    share[following == LOOKS] = LEAD_SHARES[2]
    keys = draw_keys(seed, tokens[row], Salt.LEAD, first_s * 2 + column)
    candidate = np.zeros_like(found)
    candidate[row, column] = uniform(keys) < share
    return candidate


def _looked_before(there: Mask, flags: Mask, carried: Flags) -> Mask:
    """For each look the flag of the one before it."""
    last = np.maximum.accumulate(np.where(there, np.arange(LOOKS), -1), axis=1)
    previous = np.concatenate((np.full((len(last), 1), -1), last[:, :-1]), axis=1)
    return np.where(previous < 0, carried[:, None], np.take_along_axis(flags, np.maximum(previous, 0), axis=1))


def _last_looked(there: Mask, flags: Mask) -> Flags:
    last = np.maximum.accumulate(np.where(there, np.arange(LOOKS), 0), axis=1)[:, -1]
    return flags[np.arange(len(flags)), last]


def _range_at(table: States, at: Table, before: Table, counts: Table, found: Mask, leads: Mask) -> Table:
    """The day range is a trade behind: it lacks the last trade found. The day's first trade is its own range."""
    behind = np.where(leads | (counts == 0), before, at - 1)
    has_range = leads | (table.open[behind] > 0)
    return np.where(found & has_range, behind, at)
