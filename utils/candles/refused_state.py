"""Whose snapshot it was that cannot be used: only it names the live hashes that it leaves behind."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from utils.market.timeframes import names_of_length


class Left(NamedTuple):
    """Symbols, and all names that their timeframes may have had (`60m`, `1h`)."""

    symbols: list[str]
    timeframes: list[str]


def left_by(content: bytes) -> Left:
    """Whatever version made the snapshot; empty where its first line names none."""
    try:
        header: Any = orjson.loads(content.partition(b"\n")[0])
        symbols = [f"{instrument['exchange']}:{instrument['tradingsymbol']}" for instrument in header["instruments"]]
        names = [name for length_ms in header["lengths"] for name in names_of_length(length_ms)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Left([], [])
    return Left(symbols, names)
