"""The broker's history as one worker asks for it: a part of the requests, the day's token, and what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from utils.kite.access_token import AccessTokens
from utils.kite.history import KiteHistory
from utils.runtime.lifecycle import StopRequest
from utils.runtime.log import hide_secret
from utils.runtime.settings import Settings


class BrokerHistory:
    """One `KiteHistory` for each warm-up. What the last one was refused holds for the next."""

    def __init__(self, settings: Settings, workers: Callable[[], int], stop: StopRequest) -> None:
        """The broker counts the requests of all `workers` together: each takes its part of them."""
        self._settings = settings
        self._workers = workers
        self._stop = stop
        self._tokens = AccessTokens(settings.access_token.get_secret_value(), settings.access_token_file)
        self._history: KiteHistory | None = None
        self._rejected: Counter[str] = Counter()  # rows, of earlier warm-ups

    def for_warm_up(self) -> KiteHistory | None:
        """None where the broker is not to be asked, or does not let us in yet."""
        before = self._history
        if not self._settings.warmup or (before is not None and before.is_denied):
            return None
        rate = self._settings.history_requests_per_second / max(1, self._workers())
        self._history = KiteHistory(self._settings.kite_api_url, self._authorization, rate, self._stop)
        if before is not None:
            self._rejected.update(before.rejected)
            self._history.fault = before.fault  # until the broker answers
        return self._history

    def health_fields(self) -> dict[str, str | int]:
        """Rows that were left out, in all and by reason, and why the last question brought nothing."""
        rejected = Counter(self._rejected)
        if self._history is not None:
            rejected.update(dict(self._history.rejected))
        by_reason = {f"history_rejected_{reason}": count for reason, count in sorted(rejected.items())}
        fault = self._history.fault if self._history is not None else ""
        return {"history_rejected": rejected.total(), **by_reason, "history_fault": fault}

    def _authorization(self) -> str:
        self._tokens.look()
        token = self._tokens.current()
        hide_secret(token)
        return f"token {self._settings.api_key.get_secret_value()}:{token}"
