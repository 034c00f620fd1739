"""The environment of a run that must never touch live data: nothing of the live settings leaks into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.runtime.settings import Settings

LONGEST_VALUE = 100_000  # an environment variable may have 128 KiB (Linux, MAX_ARG_STRLEN)
PROJECT = Path(__file__).resolve().parents[2]

# Of the person's own settings these change what is worked out, not where it goes; all others stay out.
_PASSED_ON = frozenset(
    {
        "TIMEFRAMES",
        "STRATEGIES",
        "NO_NEW_ENTRIES_AFTER",
        "LOG_LEVEL",
        "LIVE_REFRESH_MS",
        "SNAPSHOT_SECONDS",
        "CLOSE_GRACE_SECONDS",
    }
)
_OURS = frozenset(name.upper() for name in Settings.model_fields)


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run keeps its data."""

    directory: Path
    redis_url: str
    redis_prefix: str
    mongo_url: str
    mongo_db: str
    redis_users: Mapping[str, str] = field(default_factory=dict)  # the URL of each process that has its own

    def for_process(self, process: str, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment with what this process alone has."""
        return {**environment, "REDIS_URL": self.redis_users.get(process, self.redis_url)}

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def journal(self) -> Path:
        return self.directory / "journal"

    @property
    def work(self) -> Path:
        """The processes' working directory: one without a `.env`, which they would read."""
        return self.directory / "work"


def own_environment(place: RunPlace, base: Mapping[str, str], **settings: str) -> dict[str, str]:
    """`base` without live settings, with the run's places and the further settings (upper-case names)."""
    kept = {name: value for name, value in base.items() if name.upper() not in _OURS or name.upper() in _PASSED_ON}
    paths = [str(PROJECT), *filter(None, [base.get("PYTHONPATH", "")])]
    return {
        **kept,
        "PYTHONPATH": ":".join(paths),
        "PYTHONUNBUFFERED": "1",
        "SECRETS_DIR": "",
        "REDIS_URL": place.redis_url,
        "REDIS_PREFIX": place.redis_prefix,
        "MONGO_URL": place.mongo_url,
        "MONGO_DB": place.mongo_db,
        "JOURNAL_DIR": str(place.journal),
        "LOG_DIR": str(place.logs),
        "ACCESS_TOKEN_FILE": str(place.directory / "access_token"),
        **settings,
    }


def add_instruments(environment: dict[str, str], symbols: Sequence[str], place: RunPlace) -> None:
    """INSTRUMENTS into the environment; a list too long for it goes into the `.env` of the working directory."""
    instruments = ",".join(symbols)
    if len(instruments) < LONGEST_VALUE:
        environment["INSTRUMENTS"] = instruments
    else:
        place.work.mkdir(parents=True, exist_ok=True)
        (place.work / ".env").write_text(f"INSTRUMENTS='{instruments}'\n", encoding="utf-8")
