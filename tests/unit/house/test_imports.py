"""What a process does not need is not imported by it: each costs time at every start, and memory all day."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from utils.runtime import store_urls
from utils.runtime.settings import Settings, SettingsError

# With the environment that Docker Compose gives them.
PLACES = {
    "REDIS_URL": "redis://connector:a-Password_1@redis:6379/0",
    "MONGO_URL": "mongodb://candlewick:a-Password_1@mongo:27017/?authSource=admin&journal=true",
}
NOT_NEEDED = {
    "connect": {"numpy", "numba", "pandas", "pymongo", "bson"},
    "candle_worker": {"pandas", "kiteconnect", "autobahn", "pymongo", "bson", "requests", "urllib3", "click"},
    "signal_worker": {"pandas", "kiteconnect", "autobahn", "pymongo", "bson", "click"},
}
HOSTS_LETTERS = "aZ0.-:/19"
WORDS_LETTERS = "aZ09_-:@/?&=%"


@pytest.mark.parametrize("process", sorted(NOT_NEEDED))
def test_a_process_imports_no_more_than_it_needs(process: str) -> None:
    """Until it holds a shard: what MongoDB needs comes after."""
    names = ",".join(sorted(NOT_NEEDED[process]))
    code = (
        f"import sys, {process}; from utils.runtime.settings import Settings; Settings.load(_env_file=None);"
        f"from utils.stores.mongo import MongoStore; MongoStore({PLACES['MONGO_URL']!r}, 'candlewick');"
        f"print(*({{*'{names}'.split(',')}} & set(sys.modules)))"
    )
    environment = {**os.environ, **PLACES}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_the_client_of_mongodb_is_there_before_an_archive_has_anything_to_write() -> None:
    code = """
import sys
from utils.stores.archive_thread import ArchiveThread

class Archiver:
    def run(self, stop):
        print("pymongo" in sys.modules)

assert "pymongo" not in sys.modules
ArchiveThread("archive", Archiver()).join()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


def test_a_mongodb_url_that_is_not_parsed_is_one_that_its_client_takes() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice, unparsed = random.Random(seed), {"": 0, "@": 0, "?": 0}

    def word(letters: str, most: int) -> str:
        return "".join(dice.choices(letters, k=dice.randint(1, most)))

    for _ in range(60_000):
        user = f"{word(WORDS_LETTERS, 2)}:{word(WORDS_LETTERS, 2)}@" if dice.random() < 0.5 else ""
        options = dice.choice(["", "/", f"/?authSource={word(WORDS_LETTERS, 2)}", "?authSource=a", "/?journal=true"])
        url = f"mongodb://{user}{word(HOSTS_LETTERS, 6)}{options}" + dice.choice(["", "&journal=true", "&journal=1"])
        if store_urls._USUAL_MONGO_URL.fullmatch(url):
            parse_uri(url, warn=False)
            for mark in unparsed:
                unparsed[mark] += mark in url
    assert min(unparsed.values()) > 100, unparsed


@pytest.mark.parametrize("url", ["mongodb://h:0", "mongodb://h:65536", "mongodb://a:p@ss@h", "mongodb://h/?nonsense"])
def test_a_mongodb_url_that_its_client_refuses_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((PyMongoError, ValueError)):
        parse_uri(url, warn=False)
    monkeypatch.setenv("MONGO_URL", url)
    with pytest.raises(SettingsError, match="MONGO_URL"):
        Settings.load(_env_file=None)
