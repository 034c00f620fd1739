"""Names that look like settings and are none: what is set under them counts for nothing, and nobody would notice."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

# What only docker-compose.yml reads from `.env`; a test keeps the two the same.
COMPOSE_NAMES = frozenset(
    {
        *("REDIS_PASSWORD", "REDIS_CONNECTOR_PASSWORD", "REDIS_CANDLE_WORKER_PASSWORD"),
        *("REDIS_SIGNAL_WORKER_PASSWORD", "REDIS_READER_PASSWORD", "REDIS_DEMO_PASSWORD"),
        *("MONGO_ADMIN_PASSWORD", "MONGO_PASSWORD", "MONGO_READER_PASSWORD", "MONGO_DEMO_PASSWORD"),
        *("REDIS_PORT", "MONGO_PORT", "REDIS_MAXMEMORY", "REDIS_MEM_LIMIT"),
    }
)
_OTHERS = re.compile(r"(COMPOSE|DOCKER|BUILDKIT|PYTHON|NUMBA|LC)_?[A-Z_]*|TZ|LANG|PATH|HOME|TMPDIR|NO_COLOR|CI")
_OF_THE_BROKER = re.compile(r"(CANDLEWICK|KITE|KITECONNECT|ZERODHA)_|_(KITE|ZERODHA)$")
_UNIT = re.compile("_(MS|MILLIS|S|SECS?|SECONDS?|MIN|MINUTES?|HOURS?|DAYS?|MB|GB|TICKS|BPS|ENTRIES)$")
_CLOSE = 0.86  # of difflib's ratio: REDIS_URI is near REDIS_URL, OPENAI_API_KEY is not near API_KEY


@dataclass(frozen=True, slots=True)
class UnreadName:
    """A name that is set in some place and that nothing reads; `near` is the setting that was meant, or empty."""

    name: str
    near: str
    place: str

    @property
    def sentence(self) -> str:
        if self.near:
            return f"{self.name} in {self.place} is no setting, so that its value is ignored: write {self.near}."
        return f"{self.name} in {self.place} is no setting, so that its value is ignored: take it out."


def near_name(name: str, known: Collection[str]) -> str:
    """The name that was probably meant; empty when there is none, or when `name` is known itself.

    >>> near_name("TIME_FRAMES", ["TIMEFRAMES"]), near_name("KITE_API_KEY", ["API_KEY"]), near_name("LANG", [])
    ('TIMEFRAMES', 'API_KEY', '')
    """
    if name in known:
        return ""
    stems = {_stem(known_name): known_name for known_name in known}
    same = stems.get(_stem(name)) or stems.get(_stem(_OF_THE_BROKER.sub("", name))) or _in_another_unit(name, known)
    return same or next(iter(get_close_matches(name, known, n=1, cutoff=_CLOSE)), "")


def _in_another_unit(name: str, known: Collection[str]) -> str:
    """CLOSE_GRACE_SECONDS for CLOSE_GRACE_MS or CLOSE_GRACE; one word alone may be anybody's."""
    bare = _UNIT.sub("", name)
    found = (
        [known_name for known_name in known if _UNIT.search(known_name) and _UNIT.sub("", known_name) == bare]
        if "_" in name
        else []
    )
    return found[0] if len(found) == 1 else ""


def _stem(name: str) -> str:
    """What is left when people differ in underscores, plurals, endings of files and habits."""
    bare = re.sub("[_ -]", "", re.sub("[.][A-Z0-9]+$", "", name))
    plain = re.sub("IES$", "Y", bare).removesuffix("S")
    return re.sub("URI$", "URL", plain).replace("MONGODBURL", "MONGOURL")


def unread_in_env_file(names: Iterable[str], settings: Collection[str], place: str) -> Iterator[UnreadName]:
    """Every one: the file is ours, and what stands in it is meant for us or for Docker Compose."""
    known = {*settings, *COMPOSE_NAMES}
    for name in names:
        if name not in known and not _OTHERS.fullmatch(name):
            yield UnreadName(name, near_name(name, sorted(known)), place)


def unread_nearby(
    names: Iterable[str], settings: Collection[str], given: Collection[str], place: str
) -> Iterator[UnreadName]:
    """In a place of many foreign names: those near a setting that nobody gave (`given` are those that are)."""
    for name in names:
        near = "" if name in COMPOSE_NAMES else near_name(name, settings)
        if near and near not in given:
            yield UnreadName(name, near, place)
