"""What the health reports of all workers of a role come to, field by field. Pure: `utils/stores/health.py` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from utils.market.class_facts import as_text, from_text, joined

Fields = Mapping[str, str | int | float]
LOWEST, HIGHEST = ("last_entry_ms",), ("market_ms", "lag_ms", "archive_last_write_ms", "all_shards")
WORST_STATES = ("failing", "writing", "waiting", "starting", "stopped")
RUNNING, STANDING_BY, SHARDS_FREE = "running", "standing by", "waiting for shards to become free"
BETTER_STATES = ("warming up", "starting", RUNNING, STANDING_BY)  # by how they begin; any other is worse


def merged(parts: Sequence[Fields]) -> dict[str, str | int | float]:
    """Counts added, times and lag the worst, shards of all, texts from the one that is worst off."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _merged_one(name, [part[name] for part in parts if name in part]) for name in names}


def worst_state(states: Iterable[str]) -> str:
    """What keeps the role from running; `running` when some workers run and the others are on standby."""
    return min(states, key=_how_well, default=STANDING_BY)


def _how_well(state: str) -> int:
    return next((index for index, begin in enumerate(BETTER_STATES) if state.startswith(begin)), -1)


def with_free_shards(report: Fields) -> Fields:
    """The role does not run while one of `all_shards` (how many there are) is owned by nobody."""
    owned = [part for part in str(report.get("shards", "")).split(",") if part]
    is_well = _how_well(str(report.get("state", ""))) >= BETTER_STATES.index(RUNNING)
    has_free = len(owned) < int(report.get("all_shards", 0))
    return {**report, "state": SHARDS_FREE} if is_well and has_free else report


def _all_shards(values: Iterable[str]) -> str:
    return ",".join(sorted({shard for value in values for shard in value.split(",") if shard}))


def _all_jumps(values: Iterable[str]) -> str:
    return ";".join(sorted({jump for value in values for jump in value.split(";") if jump}))


def _worst_archive_state(values: Iterable[str]) -> str:
    return min(values, key=lambda state: WORST_STATES.index(state) if state in WORST_STATES else len(WORST_STATES))


def _classes(values: Iterable[str]) -> str:
    """One fact for each class, though it has instruments in several shards."""
    return as_text(joined(facts for value in values for facts in from_text(value)))


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
