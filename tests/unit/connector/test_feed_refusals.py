"""What a connection does after each refusal: its state, its wait, and what it asks. Time is the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from utils.connector.account_updates import AccountUpdates
from utils.connector.connection import ASK_AGAIN_SECONDS, BREAKS_SECONDS, FeedOptions, FeedState, ShardFeed
from utils.kite.access_token import AccessTokens
from utils.kite.refusals import BrokerError, Cause
from utils.market.instruments import Instrument, SessionClass

INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
BARE = BrokerError(403, "", "Authentication failed.")
NO_PERMISSION = BrokerError(403, "PermissionException", "Insufficient permission for that call.")


class Feed(ShardFeed):
    """Whose attempts are noted, and end when the test asks for it."""

    def __init__(self, tokens: AccessTokens) -> None:
        self.now = 1_000.0
        self.attempts: list[tuple[float, str]] = []
        self.asked: list[tuple[str, Callable[[Cause, str], None]]] = []
        recorder: Any = SimpleNamespace(
            shard=0, mark=lambda payload: None, now_ms=lambda: 0, last_frame_ms=0, last_mark_ms=0
        )
        options = FeedOptions("ws://nowhere", "key", "full", 5.0)
        ask = lambda token, answer: self.asked.append((token, answer))  # noqa: E731
        super().__init__(
            options, tokens, recorder, AccountUpdates(recorder), lambda: self.now, structlog.get_logger("test"), ask
        )
        self.tokens = tokens
        self.watch([INFY])

    def _connect(self, now: float) -> None:
        token = self.tokens.current()
        self.attempts.append((now, token))
        attempt: Any = SimpleNamespace(token=token, opened_at=None, received_at=now)
        self._attempt, self.state = attempt, FeedState.CONNECTING

    def refuse(self, error: BrokerError) -> None:
        """Looks until there is an attempt, which the broker refuses."""
        self.look()
        assert self._attempt is not None
        self.ended(self._attempt, "upgrade failed (403)", error)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.now += 1.0
            self.look()

    def open_and_end(self) -> None:
        """A connection that stands for a second."""
        while self._attempt is None:
            self.wait(1)
        self._attempt.opened_at = self.now
        self.wait(1)
        self.ended(self._attempt, "closed by the server")


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(AccessTokens("token-one", tmp_path / "token"))


def test_a_refusal_of_the_app_is_tried_again_less_and_less_often(feed: Feed) -> None:
    waits = []
    for _ in range(8):
        feed.refuse(NO_PERMISSION)
        assert feed.state is FeedState.DENIED
        begun, attempts = feed.now, len(feed.attempts)
        while len(feed.attempts) == attempts:
            feed.wait(1)
        waits.append(feed.now - begun)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert feed.asked == [], "the broker gave a reason"


def test_a_wrong_key_waits_as_long_as_its_cause_asks(feed: Feed) -> None:
    key = BrokerError(400, "InputException", "Invalid `api_key`.")
    for _ in range(6):
        feed.refuse(key)
        feed.wait(300)
        assert feed.state is FeedState.CONNECTING


def test_another_token_ends_the_wait_at_once(feed: Feed, tmp_path: Path) -> None:
    feed.refuse(NO_PERMISSION)
    feed.wait(5)
    assert len(feed.attempts) == 1
    (tmp_path / "token").write_text("token-two\n")
    feed.tokens.look()
    feed.wait(1)
    assert feed.attempts[-1] == (1_006.0, "token-two")


def test_a_bare_403_asks_the_profile_and_again_while_it_cannot_decide(feed: Feed) -> None:
    feed.refuse(BARE)
    assert feed.state is FeedState.NO_TOKEN
    feed.wait(3)
    ((token, answer),) = feed.asked
    assert token == "token-one"
    answer(Cause.UNCLEAR, "HTTP 503")
    assert "or the Kite app has no market data" in feed.refusal
    feed.wait(ASK_AGAIN_SECONDS - 1)
    assert len(feed.asked) == 1
    feed.wait(2)
    assert len(feed.asked) == 2
    feed.asked[1][1](Cause.PERMISSION, "the login is accepted")
    assert feed.state.value == "refused by the broker"
    assert "another login does not help" in feed.refusal
    feed.wait(30)
    assert feed.attempts[-1][1] == "token-one", "it was not the token's fault"


def test_a_bare_403_of_a_dead_token_waits_for_a_new_one(feed: Feed, tmp_path: Path) -> None:
    feed.refuse(BARE)
    feed.wait(1)
    feed.asked[0][1](Cause.TOKEN, "TokenException 403")
    feed.wait(3_600)
    assert feed.state is FeedState.NO_TOKEN
    assert len(feed.asked) == len(feed.attempts) == 1
    (tmp_path / "token").write_text("token-two\n")
    feed.tokens.look()
    feed.wait(1)
    assert feed.attempts[-1][1] == "token-two"


def test_an_answer_that_a_new_token_overtook_changes_nothing(feed: Feed, tmp_path: Path) -> None:
    feed.refuse(BARE)
    feed.wait(1)
    (tmp_path / "token").write_text("token-two\n")
    feed.tokens.look()
    feed.wait(1)
    assert feed.state is FeedState.CONNECTING
    feed.asked[0][1](Cause.PERMISSION, "the login is accepted")
    assert feed.state is FeedState.CONNECTING
    assert feed.tokens.current() == "token-two"


def test_breaks_of_the_last_minutes_are_counted_and_refused_attempts_are_none(feed: Feed) -> None:
    feed.refuse(NO_PERMISSION)
    assert feed.recent_breaks == 0
    for _ in range(3):
        feed.open_and_end()
    assert (feed.recent_breaks, feed.break_reason) == (3, "closed by the server")
    feed.now += BREAKS_SECONDS
    assert feed.recent_breaks == 0


def test_a_break_while_breaks_are_counted_in_another_thread_is_no_error(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_another_breaks() -> float:
        feed._breaks.append(feed.now)
        return feed.now

    feed.open_and_end()
    monkeypatch.setattr(feed, "_monotonic", and_another_breaks)
    assert feed.recent_breaks == 1
