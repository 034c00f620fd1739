"""The loop from wire bytes to candles: one call takes many frames, and stops before its output could overflow."""

from __future__ import annotations

from utils.candles.kernels.checks import ACCEPTED, YEAR_2000_MS, check_packet
from utils.candles.kernels.closing import close_due
from utils.candles.kernels.doubts import HELD
from utils.candles.kernels.layout import DELAYS, Array, Count, Output, Reason, Record, Rules, Shard
from utils.candles.kernels.packets import known_length, parse_packet, u16, u32
from utils.candles.kernels.prefetch import AHEAD, CACHED_CANDLES, fetch_rest, fetch_row
from utils.candles.kernels.rejections import reject
from utils.candles.kernels.trades import apply_packet
from utils.kite.frames import LTP_LENGTH
from utils.runtime.kernel_cache import kernel

SERVER_FRAME, SERVER_TEXT, CONNECTOR_CLOCK = 0, 1, 2
_HASH = 0x9E3779B1


@kernel
def slot_of(keys: Array, token: int) -> int:
    """The place of a token in the open-addressed table, or the free place where it would go."""
    mask = keys.shape[0] - 1
    at = (token * _HASH >> 7) & mask
    while keys[at] != token and keys[at] != -1:
        at = (at + 1) & mask
    return int(at)


@kernel
def row_at(shard: Shard, data: Array, at: int, end: int) -> int:
    """The row of the packet whose length is at `at`; -1 when there is none before `end`, or nobody asked for it."""
    if at + 6 > end:
        return -1
    slot = slot_of(shard.token_keys, u32(data, at + 2))
    return int(shard.token_rows[slot]) if shard.token_keys[slot] != -1 else -1


@kernel
def fetch_ahead(shard: Shard, data: Array, at: int, end: int) -> int:
    """Have the row of the packet at `at` brought near; returns where the packet after it begins."""
    fetch_row(shard, row_at(shard, data, at, end))
    return at + 2 + u16(data, at) if at + 2 <= end else end


@kernel
def events_of(packets: int, timeframes: int) -> int:
    """The most events that so many packets cause: each may bring a held one with it, and both close and amend."""
    return packets * timeframes * 4


@kernel
def process_entries(
    shard: Shard,
    rules: Rules,
    out: Output,
    data: Array,
    bounds: Array,
    ids: Array,
    kinds: Array,
    first: int,
    p: Record,
) -> int:
    """Take entries `first` and on; returns the index of the first one not taken (the output has to be emptied).

    data: uint8, all payloads end to end; bounds: int64 (m + 1,), where each begins; ids: int64 (m, 2), ms and
    counter; kinds: uint8 (m,); p: a PACKET record to work in.
    """
    timeframes = shard.lengths.shape[0]
    for i in range(first, kinds.shape[0]):
        if shard.due.size > CACHED_CANDLES and i + AHEAD < kinds.shape[0]:
            fetch_ahead(shard, data, bounds[i + AHEAD] + 2, bounds[i + AHEAD + 1])
        packets = (bounds[i + 1] - bounds[i]) // (LTP_LENGTH + 2) + 1
        room = events_of(packets, timeframes) + shard.due.size
        if out.filled[0] + room > out.heads.shape[0] or out.filled[1] + 2 * packets > out.rejections.shape[0]:
            return i
        if kinds[i] != CONNECTOR_CLOCK:
            shard.feed[0].last_frame_ms = ids[i, 0]
        if kinds[i] == SERVER_FRAME:
            process_frame(shard, rules, out, data, bounds[i], bounds[i + 1], ids[i, 0], ids[i, 1], p)
        close_due(shard, out, ids[i, 0], ids[i, 1])
    return int(kinds.shape[0])


@kernel
def process_frame(
    shard: Shard, rules: Rules, out: Output, data: Array, begin: int, end: int, ms: int, counter: int, p: Record
) -> None:
    """The packets of one frame, as far as they are whole."""
    if end - begin == 1:
        return
    count = u16(data, begin) if end - begin >= 2 else 1
    at = ahead = begin + 2
    is_large = shard.due.size > CACHED_CANDLES
    for _ in range(AHEAD if is_large else 0):
        ahead = fetch_ahead(shard, data, ahead, end)
    for _ in range(count):
        length = u16(data, at) if at + 2 <= end else -1
        if length < 0 or at + 2 + length > end:
            break
        if is_large:
            ahead = fetch_ahead(shard, data, ahead, end)
            fetch_rest(shard, row_at(shard, data, at + 2 + length, end), ms)
        process_packet(shard, rules, out, data, at + 2, length, ms, counter, p)
        at += 2 + length
        count -= 1
    if count != 0 or at != end:
        reject(shard, out, Reason.FRAME.value, 0, min(at, end), max(0, end - at), ms, counter)


@kernel
def process_packet(
    shard: Shard, rules: Rules, out: Output, data: Array, at: int, length: int, ms: int, counter: int, p: Record
) -> None:
    """One packet: read, check, act."""
    shard.counts[Count.PACKETS.value] += 1
    if not known_length(length):
        reject(shard, out, Reason.LENGTH, u32(data, at) if length >= 4 else 0, at, length, ms, counter)
        return
    parse_packet(data, at, length, ms, p)
    slot = slot_of(shard.token_keys, p.token)
    verdict = Reason.TOKEN.value
    if shard.token_keys[slot] == p.token:
        r = shard.token_rows[slot]
        note_delay(shard, p)
        verdict = check_packet(p, shard.instruments[r], rules)
        if verdict == ACCEPTED:
            verdict = apply_packet(shard, rules, out, r, p, counter)
        if verdict == HELD:
            for n in range(length):
                shard.held[r, n] = data[at + n]
    if verdict >= 0:
        reject(shard, out, verdict, p.token, at, length, ms, counter)


@kernel
def note_delay(shard: Shard, p: Record) -> None:
    """How long the packet was on its way by the two clocks, whatever becomes of it."""
    if p.timed and p.exchange_ms >= YEAR_2000_MS:
        feed = shard.feed[0]
        shard.delays[feed.delays & (DELAYS - 1)] = p.receive_ms - p.exchange_ms
        feed.delays += 1
