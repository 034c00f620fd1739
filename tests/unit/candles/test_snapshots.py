"""A snapshot that is damaged or made for something else is refused with a StateError: the worker then starts anew."""

from __future__ import annotations

import orjson
import pytest

from tests.reference.engine_runs import new_engine
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from utils.candles.kernels.layout import LAYOUT_VERSION
from utils.candles.shard_state import StateError
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind

SETTINGS = ReferenceSettings(timeframes=(("1m", 60_000), ("1d", 0)))
INSTRUMENTS = [who.reference for who in WHO]


FEED = random_feed(5, "09:13:00", 120)


def frozen() -> bytes:
    engine = new_engine(INSTRUMENTS, SETTINGS)
    engine.process([Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload) for entry in FEED])
    return engine.snapshot()


@pytest.mark.parametrize("content", [b"", b"x", b"{}", b"[1]\n", b"null\nabc", b"\xff\xfe\n"])
def test_no_snapshot_at_all(content: bytes) -> None:
    with pytest.raises(StateError):
        new_engine(INSTRUMENTS, SETTINGS).restore(content)


@pytest.mark.parametrize("part", ["position", "day", "numbering", "instruments", "rows"])
def test_a_part_of_the_first_line_is_gone_or_nonsense(part: str) -> None:
    whole = frozen()
    name = f'"{part}":'.encode()
    assert name in whole
    for damage in (b'"gone":', name + b'"nonsense","was":'):
        with pytest.raises(StateError):
            new_engine(INSTRUMENTS, SETTINGS).restore(whole.replace(name, damage, 1))


NONSENSE: tuple[object, ...] = (
    None,
    -1,
    7,
    1e300,
    "x",
    "9-x",
    [],
    [1, 2, 3, 4],
    {},
    {"a": 1},
    [[]],
    [None] * 4,
    True,
)


@pytest.mark.parametrize("part", sorted(orjson.loads(frozen().partition(b"\n")[0])))
def test_whatever_a_part_of_the_first_line_is_it_is_taken_or_refused(part: str) -> None:
    """And an engine that refused is as it was: it begins anew."""
    head, _, body = frozen().partition(b"\n")
    header = orjson.loads(head)
    damaged = [{name: value for name, value in header.items() if name != part}]
    damaged += [{**header, part: value} for value in NONSENSE]
    if isinstance(header[part], list) and header[part]:
        damaged += [{**header, part: header[part][:-1]}, {**header, part: [*header[part], header[part][0]]}]
        damaged += [{**header, part: [value, *header[part][1:]]} for value in NONSENSE]
    for entry in damaged:
        engine = new_engine(INSTRUMENTS, SETTINGS)
        try:
            engine.restore(orjson.dumps(entry) + b"\n" + body)
        except StateError:
            assert (engine.position, engine.instruments) == (ZERO_ID, [])
        engine.process(
            [Entry(EntryId(record.ms, record.counter), Kind(record.kind), record.payload) for record in FEED]
        )
        engine.snapshot()


def test_a_snapshot_that_is_too_long_is_refused() -> None:
    with pytest.raises(StateError, match="longer"):
        new_engine(INSTRUMENTS, SETTINGS).restore(frozen() + b"\0")


def test_cut_off_and_made_for_other_timeframes() -> None:
    whole = frozen()
    with pytest.raises(StateError, match="cut off"):
        new_engine(INSTRUMENTS, SETTINGS).restore(whole[:-1])
    with pytest.raises(StateError, match="other timeframes"):
        new_engine(INSTRUMENTS, ReferenceSettings(timeframes=(("5m", 300_000),))).restore(whole)
    new_engine(INSTRUMENTS, SETTINGS).restore(whole)


def test_an_older_layout_is_refused() -> None:
    whole, now = frozen(), f'"layout":{LAYOUT_VERSION}'.encode()
    assert now in whole
    with pytest.raises(StateError, match="another version"):
        new_engine(INSTRUMENTS, SETTINGS).restore(whole.replace(now, b'"layout":1', 1))


def test_candles_lie_at_cache_lines_after_growing_and_after_restoring() -> None:
    engine = new_engine(INSTRUMENTS, SETTINGS)
    engine.process([Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload) for entry in FEED])
    assert len(engine.instruments) == len(INSTRUMENTS)
    before = engine.shard
    engine.restore(engine.snapshot())
    for shard in (before, engine.shard):
        for candles in (shard.open, shard.last):
            assert candles.itemsize % 64 == 0
            assert candles.ctypes.data % 64 == 0
