"""The course of prices: for a row on a day, the price at each full minute of its session (its knots).

Closed forms of hashes throughout: the level of a day is fractal value noise (octaves of straight-line interpolated
draws, so days trend), the minutes within are a fat-tailed walk with drifts of some forty minutes and a U-shaped
deviation, bent to end at the day's level. A share of both is common to the whole market.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from simulator.contracts import Contract, Shape
from simulator.dice import Floats, Ints, Salt, draw_keys, fat_normal, normal
from simulator.universe import Universe
from utils.market.sessions import Session, SessionCalendar

MINUTE_MS = 60_000
MARKET_TOKEN = 0
OCTAVES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DRIFT_MINUTES = 40
DRIFT_STRENGTH = 0.30
INTRADAY_SHARE = 0.75
GAP_SHARE = 0.25
YEAR_DAYS = 365.0
CARRY = 0.06


@dataclass(frozen=True, slots=True)
class Course:
    """The parameters of one row's prices on one day.

    minutes: length of its continuous session; bend_minutes: after how many the day's level is reached;
    volatility: daily deviation of the underlying's logarithm; market_share: how much of it is the market's.
    """

    token: int
    path_token: int
    shape: Shape
    spot_price: float
    volatility: float
    market_share: float
    strike: float
    days_to_expiry: int
    day: int
    previous_day: int
    minutes: int
    bend_minutes: int
    divisor: int


def course_of(universe: Universe, row: int, session: Session, calendar: SessionCalendar) -> Course:
    """The course of a row on the day of its session."""
    contract, instrument = universe.contracts[row], universe.instruments[row]
    day = session.date
    underlying = calendar.session(contract.path_class, day) or session
    return Course(
        token=contract.token,
        path_token=contract.path_token,
        shape=contract.shape,
        spot_price=contract.spot_price,
        volatility=_volatility(contract, universe.seed),
        market_share=_market_share(contract),
        strike=contract.strike,
        days_to_expiry=(contract.expiry - day).days if contract.expiry else 0,
        day=day.toordinal(),
        previous_day=calendar.previous_trading_day(instrument.session_class, day).toordinal(),
        minutes=session_minutes(session),
        bend_minutes=session_minutes(underlying),
        divisor=int(universe.divisor[row]),
    )


def session_minutes(session: Session) -> int:
    """Full minutes of continuous trading."""
    return (session.close_ms - session.open_ms) // MINUTE_MS


def _volatility(contract: Contract, seed: int) -> float:
    if contract.segment.startswith("CDS"):
        return 0.003
    if contract.path_class == "index":
        return 0.008 if contract.tradingsymbol != "INDIA VIX" else 0.04
    spread = float(normal(draw_keys(seed, contract.path_token, Salt.BASE))[0])
    return 0.013 * float(np.exp(0.25 * spread))


def _market_share(contract: Contract) -> float:
    return {"index": 0.95, "currency": 0.0, "commodity": 0.1}.get(contract.path_class, 0.55)


def knots(seed: int, courses: Sequence[Course]) -> Floats:
    """[len(courses), longest minutes + 1] prices in wire units, unrounded; row i is good up to its `minutes`.

    All rows are computed to the longest course: group courses of similar length to save memory.
    """
    width = max(max(course.minutes, course.bend_minutes) for course in courses) + 1
    spot = np.exp(_log_spot(seed, courses, width))
    spot *= np.array([course.divisor for course in courses], dtype=np.float64)[:, None]
    for index, course in enumerate(courses):
        if course.shape is Shape.FUTURE:
            spot[index] *= 1 + CARRY * course.days_to_expiry / YEAR_DAYS
        elif course.shape in (Shape.CALL, Shape.PUT):
            spot[index] = _option_price(spot[index], course)
    longest: Floats = spot[:, : max(course.minutes for course in courses) + 1]
    return longest


def _log_spot(seed: int, courses: Sequence[Course], width: int) -> Floats:
    bend = np.array([course.bend_minutes for course in courses])
    volatility = np.array([course.volatility for course in courses])
    share = np.array([course.market_share for course in courses])
    own = np.sqrt(1 - share**2)
    tokens = np.array([course.path_token for course in courses])
    days = np.array([course.day for course in courses])
    befores = np.array([course.previous_day for course in courses])
    base = np.array([log(course.spot_price) for course in courses])
    market = np.full_like(tokens, MARKET_TOKEN)
    level = base + volatility * (own * _level(seed, tokens, days) + share * _level(seed, market, days))
    before = base + volatility * (own * _level(seed, tokens, befores) + share * _level(seed, market, befores))
    gap = own * normal(draw_keys(seed, tokens, days, Salt.GAP)) + share * normal(
        draw_keys(seed, market, days, Salt.GAP)
    )
    opening = before + GAP_SHARE * (level - before) + GAP_SHARE * volatility * gap
    walk = own[:, None] * _walk(seed, tokens, days, bend, width)
    walk += share[:, None] * _walk(seed, market, days, bend, width)
    walk *= (INTRADAY_SHARE * volatility)[:, None]
    part = np.arange(width)[None, :] / bend[:, None]
    to_go = (level - opening) - walk[np.arange(len(courses)), bend]
    bent: Floats = opening[:, None] + walk + part * to_go[:, None]
    return bent


def _level(seed: int, tokens: Ints, days: Ints) -> Floats:
    """Value noise whose step from a day to the next has deviation about 1."""
    level = np.zeros(len(tokens))
    for octave, period in enumerate(OCTAVES):
        cell, part = days // period, (days % period) / period
        left = normal(draw_keys(seed, tokens, Salt.LEVEL, octave, cell))
        right = normal(draw_keys(seed, tokens, Salt.LEVEL, octave, cell + 1))
        level += 0.5 * np.sqrt(period) * (left + part * (right - left))
    return level


def _walk(seed: int, tokens: Ints, days: Ints, bend: Ints, width: int) -> Floats:
    """A walk over the minutes whose deviation after `bend` of them is about 1."""
    pairs, inverse = np.unique(np.stack((tokens, days, bend)), axis=1, return_inverse=True)
    key = draw_keys(seed, pairs[0], pairs[1])[:, None]
    minute = np.arange(width - 1)[None, :]
    steps = fat_normal(draw_keys(key, Salt.MINUTE, minute))
    steps += (
        DRIFT_STRENGTH
        * normal(draw_keys(key, Salt.TREND, np.arange(width // DRIFT_MINUTES + 1)[None, :])).repeat(
            DRIFT_MINUTES, axis=1
        )[:, : width - 1]
    )
    steps *= busyness(minute / pairs[2][:, None])
    steps /= np.sqrt(pairs[2] * (1 + DRIFT_STRENGTH**2 * DRIFT_MINUTES))[:, None]
    walk = np.zeros((pairs.shape[1], width))
    np.cumsum(steps, axis=1, out=walk[:, 1:])
    chosen: Floats = walk[np.ravel(inverse)]
    return chosen


def busyness(part_of_day: Floats) -> Floats:
    """The U of a trading day, about 1 in the mean: busy at the open, quiet at noon, busy again at the close."""
    shape: Floats = 0.68 + 1.5 * np.exp(-part_of_day / 0.07) + 0.9 * np.exp(-np.abs(1 - part_of_day) / 0.12)
    return shape


def _option_price(spot: Floats, course: Course) -> Floats:
    """Bachelier's formula with the logistic function in place of the normal distribution's."""
    days = max(course.days_to_expiry, 0) + 0.3
    strike = course.strike * course.divisor
    deviation = spot * course.volatility * np.sqrt(days)
    moneyness = (spot - strike) / deviation
    density = np.exp(-0.5 * moneyness**2) / np.sqrt(2 * np.pi)
    call = (spot - strike) / (1 + np.exp(-1.702 * moneyness)) + deviation * density
    price: Floats = call if course.shape is Shape.CALL else call - spot + strike
    return np.maximum(price, course.divisor * 0.05)
