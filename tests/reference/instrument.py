"""One instrument through the day: what makes a packet a trade (CANDLES.md, sections 3 and 6)."""

from __future__ import annotations

from collections import Counter

from tests.reference.inputs import ReferenceInstrument, ReferenceSettings
from tests.reference.packets import FULL, INDEX_FULL, Packet
from tests.reference.price_window import PriceWindow
from tests.reference.series import CandleSeries, Event, OpenCandle, Trade

# Earlier than any trade: an open that the exchange itself gave is not replaced by a late packet.
_THE_EXCHANGES_OWN_OPEN_MS = 0


class InstrumentDay:
    """State of one instrument for one date. `take` hands each trade to every timeframe's series."""

    def __init__(
        self, instrument: ReferenceInstrument, settings: ReferenceSettings, said: list[Event], counts: Counter[str]
    ) -> None:
        self.instrument = instrument
        self.series = [CandleSeries(instrument, timeframe, said, counts) for timeframe in settings.timeframes]
        self.window = PriceWindow(settings, instrument.tick_units)
        self._counts = counts
        self.awaits_baseline = True
        self._known = False
        self._awaits_fuller = False
        self.day_unheard = True
        self._cum = 0
        self._trade_s = 0
        self._exchange_s = 0
        self._day_high = 0
        self._day_low = 0

    def take(self, packet: Packet, received_ms: int, up_since_ms: int | None) -> str | None:
        """The packet, which has passed all checks but the z-score. Returns `zscore` when that rejects it."""
        t_ms = self._trade_time_ms(packet, received_ms)
        starts, ends = self.instrument.day_start_ms, self.instrument.day_end_ms
        today = starts is not None and t_ms >= starts
        live = today and ends is not None and t_ms < ends
        cum_now = packet.volume
        if packet.length == FULL and not today:
            cum_now = 0
        if self.awaits_baseline or (self._awaits_fuller and self._is_full_form(packet)):
            self._take_baseline(packet, t_ms, cum_now, today, live, up_since_ms)
            return None
        if self._is_late(packet, cum_now):
            return self._take_late(packet, t_ms, cum_now, live, received_ms, up_since_ms)
        return self._take_in_order(packet, t_ms, cum_now, today, live, received_ms, up_since_ms)

    @staticmethod
    def _trade_time_ms(packet: Packet, received_ms: int) -> int:
        own_s = packet.trade_s if packet.length == FULL else packet.exchange_s
        return received_ms if own_s is None else own_s * 1000

    # -- baseline ---------------------------------------------------------------------------------------------

    def _take_baseline(
        self, packet: Packet, t_ms: int, cum_now: int | None, today: bool, live: bool, up_since_ms: int | None
    ) -> None:
        self.awaits_baseline = False
        self._awaits_fuller = not self._is_full_form(packet)
        self._counts["baselines"] += 1
        if cum_now is not None:
            self._cum = max(self._cum, cum_now) if self._known else cum_now
        if packet.exchange_s is not None:
            self._exchange_s = max(self._exchange_s, packet.exchange_s)
        if packet.trade_s is not None:
            self._trade_s = max(self._trade_s, packet.trade_s)
        if self._has_own_time(packet):
            self._hear_of_the_day(packet, t_ms, cum_now, today, live, up_since_ms)
        self._known = True

    def _hear_of_the_day(
        self, packet: Packet, t_ms: int, cum_now: int | None, today: bool, live: bool, up_since_ms: int | None
    ) -> None:
        """The first packet with a time of its own since the subscribe."""
        self.day_unheard = False
        if today:
            self._widen_day_range(packet)
        if live:
            for series in self.series:
                if series.is_day:
                    self._baseline_to_day(series, packet, t_ms, cum_now, up_since_ms)

    def _has_traded_today(self) -> bool:
        starts = self.instrument.day_start_ms
        return starts is not None and self._trade_s * 1000 >= starts

    def _is_full_form(self, packet: Packet) -> bool:
        """A packet after which no fuller cached one is waited for."""
        return packet.length == INDEX_FULL if self.instrument.is_index else packet.volume is not None

    def _widen_day_range(self, packet: Packet) -> None:
        self._day_high = max(self._day_high, packet.day_high)
        if packet.day_low > 0:
            self._day_low = min(self._day_low, packet.day_low) if self._day_low > 0 else packet.day_low

    def _baseline_to_day(
        self, series: CandleSeries, packet: Packet, t_ms: int, cum_now: int | None, up_since_ms: int | None
    ) -> None:
        bucket = series.bucket(t_ms)
        if bucket is None or series.closed:
            return
        day = series.open_candle
        if day is None:
            is_up = up_since_ms is not None and up_since_ms <= bucket[0]
            day = series.open_candle = self._day_candle(packet, bucket, t_ms, cum_now, is_up)
        elif t_ms >= day.close_t and (cum_now is None or cum_now >= day.cum_end):
            day.close, day.close_t = packet.price, t_ms
            day.oi = self._oi(packet) if packet.length == FULL else day.oi
            if cum_now is not None:
                day.grow(cum_now, packet.price)
        day.widen(packet.price, packet.price)
        day.widen(packet.day_high, packet.day_low)
        day.has_volume = day.has_volume or cum_now is not None
        day.by_receive = day.by_receive or not self._has_own_time(packet)

    def _day_candle(
        self, packet: Packet, bucket: tuple[int, int], t_ms: int, cum_now: int | None, is_up: bool
    ) -> OpenCandle:
        day = OpenCandle(bucket[0], bucket[1], packet.price, t_ms, is_up)
        if packet.day_open > 0:
            day.open, day.open_t = packet.day_open, _THE_EXCHANGES_OWN_OPEN_MS
        day.open_cum = day.cum_end = cum_now or 0
        day.turnover = day.cum_end * packet.average_price
        day.oi = self._oi(packet)
        return day

    # -- late and in order ------------------------------------------------------------------------------------

    def _is_late(self, packet: Packet, cum_now: int | None) -> bool:
        if packet.exchange_s is None:
            return False
        if packet.exchange_s < self._exchange_s:
            return True
        if packet.trade_s is None or cum_now is None:
            return False
        return packet.exchange_s == self._exchange_s and cum_now < self._cum and packet.trade_s <= self._trade_s

    def _take_late(
        self,
        packet: Packet,
        t_ms: int,
        cum_now: int | None,
        live: bool,
        received_ms: int,
        up_since_ms: int | None,
    ) -> str | None:
        is_known = packet.length == FULL and (packet.trade_s, cum_now) == (self._trade_s, self._cum)
        if not live or is_known:
            return None
        if not self.window.admits(packet.price, t_ms, cum_now, late=True):
            return "zscore"
        trade = Trade(t_ms, packet.price, cum_now, self._oi(packet), 0, 0, True, False, self._cum, self._cum)
        self._hand_on(trade, received_ms, up_since_ms)
        return None

    def _take_in_order(
        self,
        packet: Packet,
        t_ms: int,
        cum_now: int | None,
        today: bool,
        live: bool,
        received_ms: int,
        up_since_ms: int | None,
    ) -> str | None:
        fall = self._cum - cum_now if today and cum_now is not None and cum_now < self._cum else 0
        cum_before = self._cum - fall
        is_trade = live and self._is_new(packet, cum_now, cum_before)
        if is_trade and not self.window.admits(packet.price, t_ms, cum_now, late=False):
            return "zscore"
        if fall:
            self._rebase(fall)
        if packet.exchange_s is not None:
            self._exchange_s = packet.exchange_s
        if packet.trade_s is not None:
            self._trade_s = max(self._trade_s, packet.trade_s)
        if cum_now is not None and today:
            self._cum = cum_now
        elif packet.length == FULL and not today and not self._has_traded_today():
            self._cum = 0
        if self.day_unheard and self._has_own_time(packet):
            self._hear_of_the_day(packet, t_ms, cum_now, today, live, up_since_ms)
        if is_trade:
            high, low = self._move_day_range(packet)
            is_untimed = not self._has_own_time(packet)
            oi = self._oi(packet)
            trade = Trade(t_ms, packet.price, cum_now, oi, high, low, False, is_untimed, cum_before, self._cum)
            self._hand_on(trade, received_ms, up_since_ms)
        return None

    def _is_new(self, packet: Packet, cum_now: int | None, cum_before: int) -> bool:
        """Whether a live in-order packet is a trade: a price each time where there is no volume."""
        if cum_now is None:
            return True
        grew = cum_now > cum_before
        return grew or (packet.trade_s is not None and packet.trade_s > self._trade_s > 0)

    def _rebase(self, fall: int) -> None:
        self._counts["rebased"] += 1
        self._cum -= fall
        for series in self.series:
            series.rebase(fall)

    def _move_day_range(self, packet: Packet) -> tuple[int, int]:
        """The extremes that were missed since the last trade (0: none); the day range is the packet's from now on."""
        high = packet.day_high if 0 < self._day_high < packet.day_high else 0
        low = packet.day_low if 0 < packet.day_low < self._day_low else 0
        self._day_high = packet.day_high or self._day_high
        self._day_low = packet.day_low or self._day_low
        return high, low

    def _hand_on(self, trade: Trade, received_ms: int, up_since_ms: int | None) -> None:
        self._counts["trades"] += 1
        for series in self.series:
            series.take(trade, received_ms, up_since_ms)

    def _oi(self, packet: Packet) -> int | None:
        return packet.oi if self.instrument.is_derivative else None

    @staticmethod
    def _has_own_time(packet: Packet) -> bool:
        return packet.length in (FULL, INDEX_FULL)
