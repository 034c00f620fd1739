"""One health report for all workers of a role: each keeps its part, and writes what the parts of all come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import redis

from utils.keys import Keys
from utils.market.class_facts import as_text, from_text, joined
from utils.stores.health import HealthReport

Fields = Mapping[str, str | int | float]
LOWEST, HIGHEST = ("last_entry_ms",), ("market_ms", "lag_ms", "archive_last_write_ms", "all_shards")
WORST_STATES = ("failing", "writing", "waiting", "starting", "stopped")
RUNNING, STANDING_BY, SHARDS_FREE = "running", "standing by", "waiting for shards to become free"
BETTER_STATES = ("warming up", "starting", RUNNING, STANDING_BY)  # by how they begin; any other is worse


class SharedHealth:
    """Writes this worker's part, and the whole."""

    def __init__(self, client: redis.Redis, keys: Keys, process: str, owner: str, ttl_seconds: int) -> None:
        self._client = client
        self._keys = keys
        self._process = process
        self._owner = owner
        self._ttl_seconds = ttl_seconds
        self._whole = HealthReport(client, keys, process, ttl_seconds)

    def write(self, fields: Fields, owners: Sequence[str]) -> Fields | None:
        """The whole. `owners`: all workers that are there, this one among them. None when Redis did not take it."""
        others = [one for one in owners if one != self._owner]
        try:
            parts = self._exchange(fields, others) if others else []
        except redis.RedisError as error:
            self._whole.note(error)
            return None
        whole = with_free_shards(merged([fields, *parts]) if parts else fields)
        return whole if self._whole.write(whole) else None

    def _exchange(self, fields: Fields, others: Sequence[str]) -> list[dict[str, str]]:
        """Leaves our part where the others find it, and takes theirs."""
        name = self._keys.health_part(self._process, self._owner)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(name)
        pipeline.hset(name, items=[part for pair in fields.items() for part in pair])
        pipeline.expire(name, self._ttl_seconds)
        for one in others:
            pipeline.hgetall(self._keys.health_part(self._process, one))
        answers: list[Any] = pipeline.execute()[3:]
        return [{name.decode(): value.decode() for name, value in answer.items()} for answer in answers if answer]


def merged(parts: Sequence[Fields]) -> dict[str, str | int | float]:
    """Counts added, times and lag the worst, shards of all, texts from the one that is worst off."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _merged_one(name, [part[name] for part in parts if name in part]) for name in names}


def worst_state(states: Iterable[str]) -> str:
    """What keeps the whole from running; `running` when some run and the others stand by."""
    return min(states, key=_how_well, default=STANDING_BY)


def _how_well(state: str) -> int:
    return next((nth for nth, begin in enumerate(BETTER_STATES) if state.startswith(begin)), -1)


def with_free_shards(whole: Fields) -> Fields:
    """Nothing runs as a whole while one of `all_shards` (how many there are) is held by nobody."""
    held = [one for one in str(whole.get("shards", "")).split(",") if one]
    is_well = _how_well(str(whole.get("state", ""))) >= BETTER_STATES.index(RUNNING)
    has_free = len(held) < int(whole.get("all_shards", 0))
    return {**whole, "state": SHARDS_FREE} if is_well and has_free else whole


def _all_shards(values: Iterable[str]) -> str:
    return ",".join(sorted({one for value in values for one in value.split(",") if one}))


def _all_jumps(values: Iterable[str]) -> str:
    return ";".join(sorted({one for value in values for one in value.split(";") if one}))


def _worst_archive_state(values: Iterable[str]) -> str:
    return min(values, key=lambda one: WORST_STATES.index(one) if one in WORST_STATES else len(WORST_STATES))


def _classes(values: Iterable[str]) -> str:
    """One fact for each class, though it has instruments in several shards."""
    return as_text(joined(one for value in values for one in from_text(value)))


_TEXTS: Mapping[str, Callable[[Iterable[str]], str]] = {
    "classes": _classes,
    "shards": _all_shards,
    "jumped": _all_jumps,
    "state": worst_state,
    "archive_state": _worst_archive_state,
}


def _merged_one(name: str, values: Sequence[str | int | float]) -> str | int | float:
    texts = _TEXTS.get(name)
    if texts is not None:
        return texts(map(str, values))
    numbers = [_number(value) for value in values]
    if name.startswith("position_") or any(number is None for number in numbers):
        return max(map(str, values), key=lambda text: (len(text), text))
    known = [number for number in numbers if number is not None]
    if name in LOWEST:
        return min((number for number in known if number), default=0)
    if name == "archive_backlog" and min(known) < 0:
        return -1
    return max(known) if name in HIGHEST else sum(known)


def _number(value: str | int | float) -> int | float | None:
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return None
