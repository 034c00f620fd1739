"""Columns of values as text: what `str`, `repr` and `iso_ist` would write, for many things at once.

A table is `values` (m, f) int64, a field's real number by its bits, and its texts: (m, f, WIDTH) uint8 with
`lengths` (m, f) int8, which are also the marks of what is not to be written.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import orjson

from utils.candles.kernels.layout import Array
from utils.market.ist import DAY_MS, IST_OFFSET_MS
from utils.runtime.kernel_cache import kernel

WIDTH = 32  # the longest are a time with 29 and a real number with 24 characters
ABSENT, KEPT, DUE = -1, -2, -3  # instead of a length: no value, as it was published, still to be written
INT, ISO, REAL, BOOL, CLOCK = range(5)  # kinds of fields; CLOCK: whose clock timed the trades

_WORDS = np.zeros((4, 9), np.uint8)
for _index, _word in enumerate((b"false", b"true", b"exchange", b"receive")):
    _WORDS[_index, : len(_word)] = np.frombuffer(_word, np.uint8)
    _WORDS[_index, -1] = len(_word)


@kernel
def put_int(out: Array, at: int, value: int, width: int) -> int:
    """A whole number with at least `width` digits; returns where it ends."""
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    digits, rest = 1, value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    end = at + max(digits, width)
    for place in range(end - 1, at - 1, -1):
        out[place] = 48 + value % 10
        value //= 10
    return int(end)


@kernel
def put_iso(out: Array, at_ms: int) -> int:
    """As utils.market.ist.iso_ist; the date by the arithmetic of H. Hinnant's `civil_from_days`."""
    local = at_ms + IST_OFFSET_MS
    days = local // DAY_MS + 719_468
    rest = local % DAY_MS
    era = days // 146_097
    day_of_era = days - era * 146_097
    year = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * day_of_year + 2) // 153
    month = from_march + 3 if from_march < 10 else from_march - 9
    parts = (month, day_of_year - (153 * from_march + 2) // 5 + 1, rest // 3_600_000, rest // 60_000 % 60)
    put_int(out, 0, year + era * 400 + (1 if month <= 2 else 0), 4)
    for index in range(4):
        out[4 + 3 * index] = (45, 45, 84, 58)[index]
        put_int(out, 5 + 3 * index, parts[index], 2)
    out[16] = 58
    end = put_int(out, 17, rest // 1_000 % 60, 2)
    if rest % 1_000:
        out[end] = 46
        end = put_int(out, end + 1, rest % 1_000, 3)
    out[end], out[end + 1], out[end + 2] = 43, 48, 53
    out[end + 3], out[end + 4], out[end + 5] = 58, 51, 48
    return int(end + 6)


@kernel
def write_plain(kinds: Array, values: Array, texts: Array, lengths: Array, places: Array) -> int:
    """Write what is DUE, but for real numbers: their places (row * f + field) are listed; returns how many."""
    found = 0
    for i in range(values.shape[0]):
        for f in range(values.shape[1]):
            if lengths[i, f] != DUE:
                continue
            kind, value = kinds[f], values[i, f]
            if kind == REAL:
                places[found] = i * values.shape[1] + f
                found += 1
            elif kind == INT:
                lengths[i, f] = put_int(texts[i, f], 0, value, 1)
            elif kind == ISO:
                lengths[i, f] = put_iso(texts[i, f], value)
            else:
                word = value if kind == BOOL else value + 2
                for n in range(8):
                    texts[i, f, n] = _WORDS[word, n]
                lengths[i, f] = _WORDS[word, 8]
    return found


@kernel
def place_reals(blob: Array, places: Array, texts: Array, lengths: Array) -> None:
    """Texts between brackets, with commas between them, go to their places."""
    at, fields = 1, lengths.shape[1]
    for place in places:
        i, f = place // fields, place % fields
        length = 0
        while blob[at] != 44 and blob[at] != 93:
            texts[i, f, length] = blob[at]
            at += 1
            length += 1
        lengths[i, f] = length
        at += 1


def with_exponent(reals: Array) -> list[int]:
    """The indices of those that `repr` writes with an exponent, and orjson in another way."""
    size = np.abs(reals)
    found: list[int] = np.flatnonzero(((size > 0.0) & (size < 1e-4)) | (size >= 1e16)).tolist()
    return found


def write_texts(kinds: Array, values: Array, lengths: Array, form: Literal["json", "repr"]) -> Array:
    """The texts of all that is DUE, their lengths into `lengths`. Real numbers as JSON or Python has them."""
    texts = np.empty((*values.shape, WIDTH), np.uint8)
    places = np.empty(values.size, np.int64)
    places = places[: write_plain(kinds, values, texts, lengths, places)]
    reals = values.view(np.float64).ravel()[places]
    blob = orjson.dumps(reals, option=orjson.OPT_SERIALIZE_NUMPY)
    place_reals(np.frombuffer(blob, np.uint8), places, texts, lengths)
    if form == "repr":
        for n in with_exponent(reals):
            i, f = divmod(int(places[n]), values.shape[1])
            text = repr(float(reals[n])).encode()
            texts[i, f, : len(text)] = np.frombuffer(text, np.uint8)
            lengths[i, f] = len(text)
    return texts
