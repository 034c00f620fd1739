"""The day candle and the cached packet (CANDLES.md, section 6)."""

from __future__ import annotations

from tests.reference.candle import THE_EXCHANGES_OWN_OPEN_MS, OpenCandle
from tests.reference.readings import Now, Reading
from tests.reference.series import CandleSeries


def baseline_to_day(series: CandleSeries, reading: Reading, now: Now) -> None:
    """What a cached packet with a time of its own does to the `1d` candle. A closed one is left alone."""
    bucket = series.bucket(reading.t_ms)
    if bucket is None or series.closed:
        return
    packet, oi = reading.packet, reading.packet.oi if series.instrument.is_derivative else None
    day = series.open_candle
    if day is None:
        day = series.open_candle = _opened(reading, bucket, now.is_complete_from(bucket[0]))
        day.oi = oi
    elif reading.t_ms >= day.close_t and (reading.cum_now is None or reading.cum_now >= day.cum_end):
        day.close, day.close_t, day.oi = packet.price, reading.t_ms, oi
        if reading.cum_now is not None:
            day.grow(reading.cum_now, packet.price)
    day.widen(packet.price, packet.price)
    day.widen(packet.day_high, packet.day_low)
    day.has_volume = day.has_volume or reading.cum_now is not None


def _opened(reading: Reading, bucket: tuple[int, int], is_complete: bool) -> OpenCandle:
    packet = reading.packet
    day = OpenCandle(*bucket, packet.price, reading.t_ms, is_complete)
    if packet.day_open > 0:
        day.open, day.open_t = packet.day_open, THE_EXCHANGES_OWN_OPEN_MS
    day.open_cum = day.cum_end = reading.cum_now or 0
    day.turnover = day.cum_end * packet.average_price
    return day
