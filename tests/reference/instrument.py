"""One instrument through the day: what makes a packet a trade (CANDLES.md, sections 3 and 4)."""

from __future__ import annotations

from collections import Counter

from tests.reference.day_candle import baseline_to_day
from tests.reference.doubts import NO_DOUBT, RANGE, ZSCORE, Held, Standing, doubt_of
from tests.reference.inputs import ReferenceInstrument, ReferenceSettings
from tests.reference.packets import FULL, INDEX_FULL, QUOTE, Packet
from tests.reference.price_window import PriceWindow
from tests.reference.readings import Now, Reading, read
from tests.reference.series import CandleSeries, Event
from tests.reference.trade import DayFacts, Trade


class InstrumentDay:
    """State of one instrument for one date. `process` hands each trade to every timeframe's series."""

    def __init__(
        self, instrument: ReferenceInstrument, settings: ReferenceSettings, events: list[Event], counts: Counter[str]
    ) -> None:
        self.instrument = instrument
        self.series = [CandleSeries(instrument, timeframe, events, counts) for timeframe in settings.timeframes]
        self.tick = max(instrument.tick_units, 1)
        self.window = PriceWindow(settings, self.tick)
        self.held: Held | None = None
        self._accept_after = settings.z_accept_after
        self._counts = counts
        self.awaits_baseline = True
        self.awaits_day = True
        self._awaits_fuller = self._awaits_timed = False
        self._known = False
        self._cum = self._trade_s = self._exchange_s = 0
        self._price = self._quantity = 0
        self._day_high = self._day_low = 0
        self._has_had_volume = False

    # -- number 0: the held packet ----------------------------------------------------------------------------

    def process(self, packet: Packet, now: Now) -> list[str]:
        """Processes a packet that passed the checks. Returns reasons: of the packet held before, or of this one."""
        is_baseline, self._awaits_timed = self.is_baseline(packet), False
        if self.held is not None and self.held.packet.is_repeated_by(packet):
            self._counts["repetitions"] += 1
            self.awaits_baseline = False
            return []
        reading = read(packet, self.instrument, now.ms)
        rejected, count = self._judge_held(reading, now)
        if is_baseline:
            self._process_baseline(reading, now)
            return rejected
        return rejected + self._process_ordinary(reading, now, count)

    def _judge_held(self, judge: Reading, now: Now) -> tuple[list[str], int]:
        """The held packet's rejection, if any, and the count with which the judge would be held."""
        held = self.held
        if held is None or self._is_late(judge) or not held.is_judged_by(judge.packet):
            return [], 1
        standing = self._standing()
        self.held = None
        verdict = held.verdict(judge.packet, standing)
        if verdict is not None:
            self._counts[f"believed_{verdict}"] += 1
            self._act(held.reading, held.doubt.is_far, now)
            return [], 1
        return [str(held.doubt.reason)], held.count + 1 if held.persists(judge.packet, standing) else 1

    def _standing(self) -> Standing:
        return Standing(self._price, self._day_low, self._day_high, self.tick, self._accept_after)

    def _process_ordinary(self, reading: Reading, now: Now, count: int) -> list[str]:
        """Numbers 2 and 3 of the page, unless the packet is in doubt."""
        packet, late = reading.packet, self._is_late(reading)
        is_trade = self._is_late_trade(reading) if late else self._placed_ms(reading) is not None
        doubt = doubt_of(packet, self._standing(), self.window) if is_trade else NO_DOUBT
        self._counts["off_grid"] += doubt.reason == RANGE and not packet.is_outside_its_day_range
        self._counts["far_from_book"] += doubt.reason == ZSCORE and not doubt.is_far
        if doubt.reason is None or self._counts_at_once(packet, doubt.reason, late or self.held is not None):
            self._act(reading, doubt.is_far, now)
            return []
        if late or self.held is not None:
            return [doubt.reason]
        self._counts["held"] += 1
        self.held = Held(reading, doubt, count)
        return []

    def _counts_at_once(self, packet: Packet, reason: str, cannot_be_held: bool) -> bool:
        """Whether a packet counts in spite of its doubt."""
        if packet.has_book_around(packet.price, self.tick):
            self._counts["own_book"] += 1
            return True
        is_in_range = cannot_be_held and reason == RANGE and self._standing().includes(packet.price)
        self._counts["late_in_range"] += is_in_range
        return is_in_range

    # -- number 1: baseline -----------------------------------------------------------------------------------

    def is_baseline(self, packet: Packet) -> bool:
        is_timed_form = self._awaits_timed and packet.exchange_s == 0
        return self.awaits_baseline or is_timed_form or (self._awaits_fuller and self._is_full_form(packet))

    def _is_full_form(self, packet: Packet) -> bool:
        """Whether no fuller cached packet can follow this one."""
        return packet.length == INDEX_FULL if self.instrument.is_index else packet.volume is not None

    def _process_baseline(self, reading: Reading, now: Now) -> None:
        packet, cum_now, late = reading.packet, reading.cum_now, self._known and self._is_late(reading)
        self.awaits_baseline = False
        self._awaits_fuller = not self._is_full_form(packet)
        self._awaits_timed = packet.length == QUOTE
        self._counts["baselines"] += 1
        if cum_now is not None:
            self._cum = max(self._cum, cum_now) if self._known else cum_now
            self._has_had_volume = self._has_had_volume or cum_now > 0
        self._exchange_s = max(self._exchange_s, packet.exchange_s or 0)
        self._trade_s = max(self._trade_s, packet.trade_s or 0)
        self._forget_volume_of_yesterday(reading)
        self._known = True
        if not self._has_a_price(packet):
            self._counts["without_price"] += 1
            return
        if not late:
            self._keep_price(packet)
        if packet.has_own_time:
            self._read_day(reading, now)
            if reading.today:
                self._widen_day_range(packet.price if self._day_high else 0, packet.price if self._day_low else 0)

    def _has_a_price(self, packet: Packet) -> bool:
        if packet.exchange_s == 0 or packet.price == 0:
            return False
        return not packet.is_outside_its_day_range or packet.has_book_around(packet.price, self.tick)

    def _keep_price(self, packet: Packet) -> None:
        self._price = packet.price
        if packet.quantity is not None:
            self._quantity = packet.quantity

    def _read_day(self, reading: Reading, now: Now) -> None:
        """Reads day range and day candle from the first packet with a time and a price since the subscribe."""
        self.awaits_day = False
        if reading.today:
            self._widen_day_range(reading.packet.day_high, reading.packet.day_low)
        if reading.live:
            for series in self.series:
                if series.is_day:
                    baseline_to_day(series, reading, now)

    def _widen_day_range(self, high: int, low: int) -> None:
        self._day_high = max(self._day_high, high)
        if low > 0:
            self._day_low = min(self._day_low, low) if self._day_low > 0 else low

    # -- number 2: late ---------------------------------------------------------------------------------------

    def _is_late(self, reading: Reading) -> bool:
        packet, cum_now = reading.packet, reading.cum_now
        if packet.exchange_s is None:
            return False
        if packet.exchange_s < self._exchange_s:
            return True
        if packet.trade_s is None or cum_now is None:
            return False
        return packet.exchange_s == self._exchange_s and cum_now < self._cum and packet.trade_s <= self._trade_s

    def _is_late_trade(self, reading: Reading) -> bool:
        is_known = reading.packet.length == FULL and (reading.packet.trade_s, reading.cum_now) == (
            self._trade_s,
            self._cum,
        )
        return reading.live and not is_known

    # -- number 3: in order -----------------------------------------------------------------------------------

    def _shows_dated_trade(self, reading: Reading) -> bool:
        """Whether volume or trade time moved; always true for packets without volume."""
        if reading.cum_now is None or reading.cum_now > self._cum:
            return True
        trade_s = reading.packet.trade_s
        return trade_s is not None and trade_s > self._trade_s > 0

    def _placed_ms(self, reading: Reading) -> int | None:
        """`P` of the trade that a packet in order shows; None: no trade."""
        if self._shows_dated_trade(reading):
            return reading.t_ms if reading.live else None
        return reading.x_ms if self._shows_a_price_first(reading) else None

    def _shows_a_price_first(self, reading: Reading) -> bool:
        packet = reading.packet
        has_moved = self._price > 0 and (packet.price, packet.quantity) != (self._price, self._quantity)
        is_cleared = packet.quantity == 0 and self._quantity > 0
        opens, closes = self.instrument.open_ms, self.instrument.close_ms
        return (
            has_moved
            and not is_cleared
            and opens is not None
            and closes is not None
            and opens <= reading.x_ms < closes
        )

    def _act(self, reading: Reading, is_far: bool, now: Now) -> None:
        """Applies a packet that counts; `is_far`: its price is far from those of the window."""
        if not self._is_late(reading):
            self._act_in_order(reading, is_far, now)
        elif self._is_late_trade(reading):
            self._hand_on(self._late_trade(reading), now)

    def _act_in_order(self, reading: Reading, is_far: bool, now: Now) -> None:
        packet = reading.packet
        dated, placed_ms = self._shows_dated_trade(reading), self._placed_ms(reading)
        self._rebase(reading)
        cum_before, is_first = self._cum, not self._has_had_volume
        self._move_on(reading)
        if self.awaits_day and packet.has_own_time:
            self._read_day(reading, now)
        if placed_ms is None:
            self._counts["outside"] += dated and reading.today and packet.volume is not None
            return
        if is_far:
            self.window.clear()
        self.window.push(packet.price)
        high, low = self._move_day_range(reading)
        trade = Trade(
            placed_ms=placed_ms, price=packet.price, cum_now=reading.cum_now, oi=self._oi(packet), dated=dated,
            high_extension=high, low_extension=low, by_receive=not packet.has_own_time, cum_before=cum_before,
            cum_after=self._cum, day=self._day_facts(packet), is_first=is_first and (reading.cum_now or 0) > 0,
        )  # fmt: skip
        self._hand_on(trade if dated else trade.undated(), now)

    def _rebase(self, reading: Reading) -> None:
        if not reading.today or reading.cum_now is None or reading.cum_now >= self._cum:
            return
        fall = self._cum - reading.cum_now
        self._counts["rebased"] += 1
        self._cum -= fall
        for series in self.series:
            series.rebase(fall)

    def _move_on(self, reading: Reading) -> None:
        packet, cum_now = reading.packet, reading.cum_now
        self._exchange_s = self._exchange_s if packet.exchange_s is None else packet.exchange_s
        self._trade_s = max(self._trade_s, packet.trade_s or 0)
        self._known = True
        self._keep_price(packet)
        if cum_now is None:
            return
        if reading.today:
            self._cum = cum_now
            self._has_had_volume = self._has_had_volume or cum_now > 0
        self._forget_volume_of_yesterday(reading)

    def _forget_volume_of_yesterday(self, reading: Reading) -> None:
        """Resets the volume while no packet was traded today, regardless of a quote's volume."""
        if reading.cum_now is not None and not reading.today and self._trade_s * 1000 < reading.midnight_ms:
            self._cum, self._has_had_volume = 0, False

    def _move_day_range(self, reading: Reading) -> tuple[int, int]:
        """The extremes missed since the last trade (0: none); widens the day range by range and price."""
        packet, high, low = reading.packet, 0, 0
        if reading.today:
            high = packet.day_high if 0 < self._day_high < packet.day_high else 0
            low = packet.day_low if 0 < packet.day_low < self._day_low else 0
            self._widen_day_range(packet.day_high, packet.day_low)
        self._widen_day_range(packet.price if self._day_high else 0, packet.price if self._day_low else 0)
        return high, low

    # -- to the timeframes ------------------------------------------------------------------------------------

    def _hand_on(self, trade: Trade, now: Now) -> None:
        self._counts["trades"] += 1
        self._counts["undated"] += not trade.dated
        for series in self.series:
            series.process(trade, now)

    def _late_trade(self, reading: Reading) -> Trade:
        return Trade(
            placed_ms=reading.t_ms, price=reading.packet.price, cum_now=reading.cum_now, oi=self._oi(reading.packet),
            late=True, cum_before=self._cum, cum_after=self._cum,
        )  # fmt: skip

    def _day_facts(self, packet: Packet) -> DayFacts | None:
        """The exchange's own open and range of its day; None for forms that have neither time nor volume."""
        if not packet.has_own_time and packet.volume is None:
            return None
        return DayFacts(packet.day_open, packet.day_high, packet.day_low)

    def _oi(self, packet: Packet) -> int | None:
        return packet.oi if self.instrument.is_derivative else None
