"""Our own sides of the bench make the same candles of the same ticks: `make bench` can begin."""

from __future__ import annotations

import pytest

from bench.check_candles import check_candles
from bench.peers import Peers
from tests.shared.length import LONG


@pytest.mark.skipif(not LONG, reason="compiles the bench's own loop over trades: make test-all does")
def test_our_sides_make_the_same_candles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peers, "get", lambda _peers, _name: None)  # theirs are compared where they are measured
    checks = check_candles(Peers())
    assert [check.name for check in checks] == [
        "same candles: our engine, by plain arithmetic",
        "same candles: our bare kernel",
    ]
    assert [check for check in checks if not check.passed] == []
