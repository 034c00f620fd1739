"""The latest indicator values as commands for Redis: of each instrument and timeframe one hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, islice

import numpy as np
import orjson
from numpy.typing import NDArray

from utils.candles.texts import with_exponent
from utils.indicators import INDICATOR_NAMES
from utils.indicators.values import LatestValues
from utils.keys import Keys
from utils.market.ist import iso_ist
from utils.stores.redis_connection import Word, bulk, pack

_COUNT = len(INDICATOR_NAMES)
_SIZES = [b"$%d\r\n" % size for size in range(32)]  # no float's repr is longer than 24


def values_commands(keys: Keys, latest: Sequence[LatestValues]) -> list[bytes]:
    """Packed commands that write the values that are there, and take the absent ones out of the hash."""
    values = np.fromiter(
        chain.from_iterable(latest_values.values for latest_values in latest), np.float64, _COUNT * len(latest)
    )
    is_there = np.isfinite(values)
    texts = iter(float_texts(np.where(is_there, values, 0.0)))
    rows = is_there.reshape(-1, _COUNT)
    has_all = np.count_nonzero(rows, axis=1) == _COUNT
    commands: list[bytes] = []
    for index, latest_values in enumerate(latest):
        name, row = keys.indicators(latest_values.symbol, latest_values.timeframe), list(islice(texts, _COUNT))
        if has_all[index]:
            commands.append(_whole_hash(name, latest_values.start_ms, row))
        else:
            commands += _part_of_hash(name, latest_values.start_ms, row, rows[index].tolist())
    return commands


def values_names(keys: Keys, symbols: Iterable[str], timeframes: Sequence[str]) -> list[str]:
    """Of all hashes of these instruments."""
    return [keys.indicators(symbol, timeframe) for symbol in sorted(symbols) for timeframe in timeframes]


def float_texts(values: NDArray[np.float64]) -> list[bytes]:
    """Of finite values each as its `repr`: the shortest digits that give it back.

    orjson finds them several times faster, and writes them in the same way where `repr` needs no exponent.
    """
    if not len(values):
        return []
    texts = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    for at in with_exponent(values):
        texts[at] = repr(float(values[at])).encode()
    return texts


# The command with all values, but for its head: before each value its field's name, then the value's size and text.
_WHOLE = list(chain.from_iterable((bulk(name.encode()), b"", b"", b"\r\n") for name in INDICATOR_NAMES))
_WHOLE_HEAD = b"*%d\r\n" % (6 + 2 * _COUNT) + bulk(b"HSET")


def _whole_hash(name: str, start_ms: int, texts: Sequence[bytes]) -> bytes:
    """By hand: nearly all of it is the same for all, and packing 28 words takes twice as long."""
    parts = _WHOLE.copy()
    parts[1::4] = [_SIZES[len(text)] for text in texts]
    parts[2::4] = texts
    return b"".join((_WHOLE_HEAD, bulk(name.encode()), _start_words(start_ms), *parts))


@lru_cache(maxsize=64)
def _start_words(start_ms: int) -> bytes:
    words = (b"t", str(start_ms).encode(), b"start", iso_ist(start_ms).encode())
    return b"".join(bulk(word) for word in words)


def _part_of_hash(name: str, start_ms: int, texts: Sequence[bytes], is_there: Sequence[bool]) -> list[bytes]:
    fields: list[Word] = []
    absent: list[Word] = []
    for field, text, is_known in zip(INDICATOR_NAMES, texts, is_there, strict=True):
        if is_known:
            fields += (field, text)
        else:
            absent.append(field)
    return [
        pack("HSET", name, "t", start_ms, "start", iso_ist(start_ms), *fields),
        pack("HDEL", name, *absent),
    ]
