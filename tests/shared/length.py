"""How long a test plays: its short form in `make test`, its long one in `make test-all`. Both guard the same."""

from __future__ import annotations

import os
from typing import TypeVar

_Length = TypeVar("_Length")

LONG = os.environ.get("CANDLEWICK_LENGTH") == "long"


def length(*, short: _Length, long: _Length) -> _Length:
    """As many seeds, minutes or kills as this run has time for."""
    return long if LONG else short
