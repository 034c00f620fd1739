"""Sizes of memory as docker-compose.yml writes them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]{1,9})([kmg]?)b?", re.IGNORECASE)
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30}


def size_bytes(text: str) -> int:
    """`512m`, `1g`, `896mb`, or a number of bytes. ValueError for anything else.

    >>> size_bytes("896mb") == 896 << 20
    True
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is no size: write a number and k, m or g, such as 512m")
    return int(match[1]) << _SHIFTS[match[2].lower()]


def sum_of_sizes(text: str) -> int:
    """Of several, joined by +; 0 of none."""
    return sum(size_bytes(part) for part in text.split("+")) if text.strip() else 0


def check_sizes(text: str) -> str:
    """As a setting's value. ValueError."""
    sum_of_sizes(text)
    return text
