"""Hashes as the commands that write them: HSET with what is DUE, HDEL with what is gone, in Redis' own protocol."""

from __future__ import annotations

from typing import NamedTuple

from utils.candles.kernels.layout import Array
from utils.candles.texts import ABSENT, put_int
from utils.runtime.kernel_cache import kernel

_SET, _DELETE = 0, 1  # which of the two verbs


class Words(NamedTuple):
    """Bulk strings of the protocol, end to end: of the i-th thing from ends[i] to ends[i + 1], `words` of them."""

    content: Array  # uint8
    ends: Array  # int64, (m + 1,)
    words: int


@kernel
def _copy(source: Array, begin: int, end: int, out: Array, at: int) -> int:
    for n in range(begin, end):
        out[at + n - begin] = source[n]
    return at + end - begin


@kernel
def _line(out: Array, at: int, sign: int, number: int) -> int:
    """`*3` or `$5` and the end of the line."""
    out[at] = sign
    at = put_int(out, at + 1, number, 1)
    out[at], out[at + 1] = 13, 10
    return at + 2


@kernel
def write_hashes(
    names: Words,
    constants: Words,
    fields: Words,
    verbs: Words,
    whole: Array,
    texts: Array,
    lengths: Array,
    out: Array,
    used: Array,
) -> None:
    """used: bytes in `out` and commands.

    constants: fields with values that only a hash that is written in full gets.
    """
    at, commands = 0, 0
    for i in range(lengths.shape[0]):
        due, gone = 0, 0
        for f in range(lengths.shape[1]):
            due += lengths[i, f] >= 0
            gone += lengths[i, f] == ABSENT
        if due or whole[i]:
            at = _line(out, at, 42, 2 + 2 * due + (constants.words if whole[i] else 0))
            at = _copy(verbs.content, verbs.ends[_SET], verbs.ends[_SET + 1], out, at)
            at = _copy(names.content, names.ends[i], names.ends[i + 1], out, at)
            if whole[i]:
                at = _copy(constants.content, constants.ends[i], constants.ends[i + 1], out, at)
            for f in range(lengths.shape[1]):
                length = lengths[i, f]
                if length >= 0:
                    at = _copy(fields.content, fields.ends[f], fields.ends[f + 1], out, at)
                    at = _line(out, at, 36, length)
                    at = _copy(texts[i, f], 0, length, out, at)
                    out[at], out[at + 1] = 13, 10
                    at += 2
            commands += 1
        if gone:
            at = _line(out, at, 42, 2 + gone)
            at = _copy(verbs.content, verbs.ends[_DELETE], verbs.ends[_DELETE + 1], out, at)
            at = _copy(names.content, names.ends[i], names.ends[i + 1], out, at)
            for f in range(lengths.shape[1]):
                if lengths[i, f] == ABSENT:
                    at = _copy(fields.content, fields.ends[f], fields.ends[f + 1], out, at)
            commands += 1
    used[0], used[1] = at, commands
