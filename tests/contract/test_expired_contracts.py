"""Ten weeks of weekly options over a real Valkey: what has expired leaves rows, snapshot and live hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from data_handler import ShardCandles, open_candle_store
from tests.shared.weekly_options import FIRST_EXPIRY, contracts, expiry_day, expiry_of, heartbeat, mark
from utils.keys import Keys
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import Settings

COUNT, WEEKS = 40, 10
TIMEFRAMES = ("1m", "5m", "1d")


def worker_of(url: str, timeframes: Sequence[str] = TIMEFRAMES) -> ShardCandles:
    settings = Settings(_env_file=None, redis_url=url, timeframes=",".join(timeframes))  # type: ignore[call-arg, arg-type]
    return ShardCandles(0, settings, SessionCalendar.load(), open_candle_store(settings))


def live_symbols(client: redis.Redis) -> set[str]:
    """Of all live hashes."""
    ticks: Any = client.keys("tick:*")
    candles: Any = client.keys("candle:*")
    return {name.decode().removeprefix("tick:") for name in ticks} | {
        name.decode().removeprefix("candle:").rpartition(":")[0] for name in candles
    }


def show_all(worker: ShardCandles) -> None:
    while worker.refresh_live():
        pass


def test_ten_weeks_are_flat(client: redis.Redis, valkey: Any) -> None:
    sizes = []
    for week in range(WEEKS):
        worker = worker_of(valkey.url)  # a restart between the weeks, too
        worker.recover()
        worker.process(expiry_day(week, contracts(week, COUNT)))
        show_all(worker)
        worker.snapshot()
        shown = live_symbols(client)
        kept = [contract.symbol for past in range(max(0, week - 1), week + 1) for contract in contracts(past, COUNT)]
        assert shown == set(kept), f"week {week}"
        sizes.append((worker.instrument_count, int(client.strlen(Keys().candle_state(0))), int(client.dbsize())))
    assert [rows for rows, _, _ in sizes[1:]] == [2 * COUNT] * (WEEKS - 1)
    assert max(size for _, size, _ in sizes[2:]) <= 1.01 * sizes[1][1], sizes
    assert max(keys for _, _, keys in sizes) == sizes[1][2], sizes


def test_a_kill_between_the_roll_and_the_snapshot_leaves_no_hash_behind(client: redis.Redis, valkey: Any) -> None:
    first = worker_of(valkey.url)
    first.recover()
    first.process(expiry_day(0, contracts(0, COUNT)) + expiry_day(1, contracts(1, COUNT)))
    show_all(first)
    first.snapshot()
    roll = [heartbeat(expiry_of(2), "00:00")]
    first.process(roll)  # killed behind it
    assert live_symbols(client) == {contract.symbol for contract in contracts(1, COUNT)}
    again = worker_of(valkey.url)
    again.recover()
    assert again.instrument_count == 2 * COUNT
    again.process(roll)
    assert again.instrument_count == COUNT
    assert live_symbols(client) == {contract.symbol for contract in contracts(1, COUNT)}


def test_what_another_shard_watches_keeps_its_hashes(client: redis.Redis, valkey: Any) -> None:
    """CONNECTIONS changed: the instrument left this shard, and lives on in another."""
    moved, expired = contracts(0, 2)
    staying = contracts(1, 1)
    worker = worker_of(valkey.url)
    worker.recover()
    worker.process(expiry_day(0, [moved, expired, *staying]))
    show_all(worker)
    client.hset(Keys().instruments(), mapping={instrument.symbol: "{}" for instrument in (moved, *staying)})
    worker.process([mark(expiry_of(1), "09:10", staying), heartbeat(expiry_of(2), "00:00")])
    assert worker.instrument_count == 1
    assert live_symbols(client) == {moved.symbol, staying[0].symbol}
    assert expiry_of(0) == FIRST_EXPIRY


def test_a_timeframe_that_left_the_settings_takes_its_hashes_along(client: redis.Redis, valkey: Any) -> None:
    """The snapshot does not fit then, and whoever leaves with it is known to nobody else."""
    staying, expired = contracts(0, 2)
    worker = worker_of(valkey.url)
    worker.recover()
    worker.process(expiry_day(0, [staying, expired]))
    show_all(worker)
    worker.snapshot()
    client.hset(Keys().instruments(), mapping={staying.symbol: "{}"})
    keys = Keys()
    assert client.exists(keys.candle(staying.symbol, "5m"), keys.candle(expired.symbol, "1m")) == 2
    assert worker_of(valkey.url, ("1m", "1d")).recover().snapshot_refused
    names: Any = client.keys("candle:*")
    assert {name.decode() for name in names} == {keys.candle(staying.symbol, timeframe) for timeframe in ("1m", "1d")}
    assert not client.exists(keys.tick(expired.symbol))
