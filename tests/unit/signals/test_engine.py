"""The signal engine against momentum written anew on TA-Lib and pandas, and its promises about repetition."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import orjson
import pandas as pd
import pytest
import talib

from strategies import Direction, Proposal, Strategy, load_strategies
from tests.shared.closed_candles import OPEN_MS, PAST_OPEN_MS, grouped, minute_candles
from tests.shared.indicator_series import column
from tests.shared.supertrend_in_pandas import supertrend_in_pandas
from utils.indicators import IndicatorParameters, IndicatorValues
from utils.indicators.snapshot import SnapshotError
from utils.market.candle import Candle
from utils.market.entry_limit import UntilTimeOfDay
from utils.market.signal import Signal
from utils.signals.engine import SignalEngine

CUT_MINUTE = 15 * 60 + 15
SYMBOLS = ("NSE:NIFTY 50", "NSE:INFY", "NSE:SBIN", "NSE:M&M", "NSE:TCS", "NSE:ITC")


def engine(*strategies: Strategy, cut_minute: int = CUT_MINUTE) -> SignalEngine:
    return SignalEngine(strategies or load_strategies(["momentum"]), UntilTimeOfDay(cut_minute))


def always(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None:
    return Proposal(Direction.LONG, candle.close, 0.0, 0.0, ("always",))


ALWAYS = Strategy("always", (), always)


def newest(engine: SignalEngine) -> dict[tuple[str, str, int], dict[str, float]]:
    return {(row.symbol, row.timeframe, row.start_ms): row.values.as_dict() for row in engine.latest()}


def _expected(candles: Sequence[Candle]) -> list[tuple[int, str, float, float, float]]:
    """Start, direction, entry, stop and target of momentum's signals, vectorised over the whole series."""
    frame = pd.DataFrame({name: column(candles, name) for name in ("high", "low", "close", "volume", "start_ms")})
    high, low, close = (frame[name].to_numpy() for name in ("high", "low", "close"))
    day = (frame["start_ms"] + 19_800_000) // 86_400_000
    typical = (frame["high"] + frame["low"] + frame["close"]) / 3
    vwap = (typical * frame["volume"]).groupby(day).cumsum() / frame["volume"].groupby(day).cumsum()
    up = supertrend_in_pandas(frame, 10, 3.0)["direction"]
    sma, rsi, atr = talib.SMA(close, 200), talib.RSI(close, 14), talib.ATR(high, low, close, 14)
    histogram = pd.Series(talib.MACD(close, 12, 26, 9)[2])
    no_volume = candles[0].volume is None
    above, below = (vwap < close) | no_volume, (vwap > close) | no_volume
    long = (close > sma) & (up > 0) & above & (rsi > 55) & (histogram > 0) & (histogram.shift() <= 0)
    short = (close < sma) & (up < 0) & below & (rsi < 45) & (histogram < 0) & (histogram.shift() >= 0)
    ends = (column(candles, "end_ms") / 1000 + 19_800) % 86_400
    early = (ends <= CUT_MINUTE * 60) & (frame.index >= 200)
    found = []
    for sign, direction, fires in ((1, "LONG", long), (-1, "SHORT", short)):
        for at in frame.index[fires & early]:
            found.append(
                (
                    int(frame["start_ms"][at]),
                    direction,
                    close[at],
                    close[at] - sign * 1.5 * atr[at],
                    close[at] + sign * 3 * atr[at],
                )
            )
    return sorted(found)


def _published(signals: Sequence[Signal]) -> list[tuple[int, str, float, float, float]]:
    return sorted(
        (signal.start_ms, str(signal.direction), signal.entry, signal.stop, signal.target) for signal in signals
    )


def test_momentum_is_what_the_reference_finds() -> None:
    counted: Counter[str] = Counter()
    for symbol in SYMBOLS:
        minutes = minute_candles(symbol, [PAST_OPEN_MS - 86_400_000, PAST_OPEN_MS, OPEN_MS])
        for candles in (minutes, grouped(minutes, 3)):
            published = _published([fired.signal for fired in engine().apply(candles).fired])
            expected = _expected(candles)
            assert [message[:2] for message in published] == [signal[:2] for signal in expected]
            for ours, theirs in zip(published, expected, strict=True):
                assert ours[2:] == pytest.approx(theirs[2:], rel=1e-9)
            counted.update(message[1] for message in published)
    assert counted["LONG"] > 5
    assert counted["SHORT"] > 5


def test_a_signal_has_all_that_is_known_of_it() -> None:
    candles = minute_candles("NSE:INFY", [PAST_OPEN_MS, OPEN_MS])
    fired = engine().apply(candles).fired
    firing = fired[0]
    candle, document = candles[firing.at], firing.signal.as_document()
    assert document["_id"] == document["k"] == document["id"] == firing.signal.id
    assert firing.signal.id == f"momentum|NSE:INFY|1m|{candle.start_ms:015d}|{firing.signal.direction}"
    assert document["t"] == candle.end_ms
    assert pd.Timestamp(document["timestamp"]).value // 10**6 == candle.end_ms
    assert document["timestamp"].endswith("+05:30")
    assert (document["symbol"], document["timeframe"], document["strategy"]) == ("NSE:INFY", "1m", "momentum")
    assert (document["candle_complete"], document["candle_rev"]) == (candle.complete, candle.rev)
    assert set(document) >= {"sma_20", "sma_200", "ema_9", "rsi_14", "macd_histogram", "atr_14", "supertrend", "vwap"}
    assert len(document["conditions"]) == 5
    assert orjson.loads(orjson.dumps(document)) == document  # and so no NaN


def test_no_entry_after_the_time_of_day() -> None:
    candles = minute_candles("NSE:INFY", [OPEN_MS])
    fired = engine(ALWAYS).apply(candles).fired
    ends = [firing.signal.at_ms for firing in fired]
    assert (max(ends) - OPEN_MS) // 60_000 == 6 * 60  # the candle that ends at 15:15 is the last that may
    assert len(fired) == 360
    day = replace(candles[0], timeframe="1d", end_ms=OPEN_MS + 375 * 60_000)
    assert engine(ALWAYS).apply([day]).fired == []
    midnight = replace(candles[0], start_ms=OPEN_MS + 800 * 60_000, end_ms=OPEN_MS + 885 * 60_000)
    assert engine(ALWAYS).apply([midnight]).fired == []


def test_a_revision_that_fires_again_is_not_published_again_but_one_that_fires_first_is() -> None:
    candles = minute_candles("NSE:INFY", [OPEN_MS])
    signal_engine = engine(ALWAYS)
    applied = signal_engine.apply([candles[0], replace(candles[0], rev=1), candles[1], replace(candles[1], rev=1)])
    assert [fired.at for fired in applied.fired] == [0, 2]
    assert signal_engine.apply([replace(candles[1], rev=2)]).fired == []
    late = engine(
        Strategy("second", (), lambda candle, now, before: always(candle, now, before) if candle.rev else None)
    )
    assert [fired.signal.candle_rev for fired in late.apply([candles[0], replace(candles[0], rev=1)]).fired] == [1]


def test_old_candles_are_skipped_and_counted() -> None:
    candles = minute_candles("NSE:INFY", [OPEN_MS])
    signal_engine = engine(ALWAYS)
    signal_engine.apply(candles[:10])
    applied = signal_engine.apply([candles[9], candles[3], replace(candles[8], rev=1), candles[10]])
    assert applied.skipped == 3
    assert [fired.at for fired in applied.fired] == [3]


def test_a_strategy_is_not_asked_before_its_indicators_are_warm() -> None:
    candles, asked = minute_candles("NSE:INFY", [OPEN_MS]), list[int]()

    def note(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None:
        assert now.has("ema_9", "sma_20")
        assert before.has("ema_9", "sma_20")
        asked.append(candle.start_ms)
        return None

    engine(Strategy("note", ("ema_9", "sma_20"), note)).apply(candles)
    assert asked[0] == candles[36].start_ms


def test_a_strategy_that_fails_is_counted_and_stops_nobody() -> None:
    def broken(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None:
        raise ZeroDivisionError("of mine")

    candles = minute_candles("NSE:INFY", [OPEN_MS])[:5]
    applied = engine(Strategy("broken", (), broken), ALWAYS).apply(candles)
    assert len(applied.fired) == 5
    assert len(applied.errors) == 5
    assert "broken" in applied.errors[0]
    assert "of mine" in applied.errors[0]


def test_prices_of_numpy_become_plain_ones_and_what_is_no_price_is_an_error() -> None:
    """orjson knows no numpy.float64: such a signal would end the worker when it is published."""

    def of_numpy(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None:
        entry = np.float64(candle.close)
        return Proposal(Direction.LONG, entry, entry - 1, entry + 1, ())

    def no_price(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None:
        return Proposal(Direction.LONG, "dear", 1.0, 2.0, ())  # type: ignore[arg-type]

    candles = minute_candles("NSE:INFY", [OPEN_MS])[:3]
    applied = engine(Strategy("numpy", (), of_numpy), Strategy("none", (), no_price)).apply(candles)
    assert len(applied.errors) == 3
    assert [orjson.loads(orjson.dumps(fired.signal.as_document()))["entry"] for fired in applied.fired] == [
        candle.close for candle in candles
    ]


@pytest.mark.parametrize("at", [0, 1, 150, 777])
def test_a_snapshot_goes_on_as_if_nothing_had_been(at: int) -> None:
    candles = [
        candle
        for symbol in SYMBOLS[:3]
        for minutes in [minute_candles(symbol, [PAST_OPEN_MS, OPEN_MS])]
        for candle in [*minutes, *grouped(minutes, 5)]
    ]
    candles.sort(key=lambda candle: candle.end_ms)
    whole = engine(ALWAYS)
    expected = whole.apply(candles)
    first, second = engine(ALWAYS), engine(ALWAYS)
    before = first.apply(candles[:at]).fired
    packed = first.snapshot({"any": [1, "header"]})
    assert second.restore(packed) == {"any": [1, "header"]}
    again = second.apply([*candles[max(0, at - 1) : at], *candles[at:]])
    signals = [fired.signal for fired in before + again.fired]
    assert sorted(signal.id for signal in signals) == sorted(fired.signal.id for fired in expected.fired)
    assert {signal.id: signal.as_document() for signal in signals} == {
        fired.signal.id: fired.signal.as_document() for fired in expected.fired
    }
    assert newest(second) == newest(whole)


def test_a_snapshot_remembers_what_was_published() -> None:
    candles = minute_candles("NSE:INFY", [OPEN_MS])
    first, second = engine(ALWAYS), engine(ALWAYS)
    first.apply(candles[:5])
    second.restore(first.snapshot({}))
    assert second.apply([replace(candles[4], rev=1)]).fired == []


def test_a_snapshot_of_other_parameters_is_refused() -> None:
    packed = engine().snapshot({})
    with pytest.raises(SnapshotError, match="other indicator parameters"):
        SignalEngine([], UntilTimeOfDay(CUT_MINUTE), IndicatorParameters(rsi=7)).restore(packed)


def test_warming_begins_a_row_anew_and_publishes_nothing() -> None:
    candles = minute_candles("NSE:INFY", [PAST_OPEN_MS, OPEN_MS])
    value, clean = engine(ALWAYS), engine(ALWAYS)
    value.apply(candles[100:110])
    value.warm("NSE:INFY", "1m", candles[:300])
    clean.warm("NSE:INFY", "1m", candles[:300])
    assert value.bars("NSE:INFY", "1m") == 300
    assert newest(value) == newest(clean)
    assert math.isfinite(value.latest()[0].values.sma_200)
