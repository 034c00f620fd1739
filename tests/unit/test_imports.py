"""What a process does not need is not imported by it: each costs time at every start, and memory all day."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from utils import settings
from utils.settings import Settings, SettingsError

NOT_NEEDED = {
    "connect": {"numpy", "numba", "pandas", "pymongo"},
    "candle_worker": {"pandas", "kiteconnect", "autobahn"},
    "signal_worker": {"pandas", "kiteconnect", "autobahn"},
}


@pytest.mark.parametrize("process", sorted(NOT_NEEDED))
def test_a_process_imports_no_more_than_it_needs(process: str) -> None:
    names = ",".join(sorted(NOT_NEEDED[process]))
    code = (
        f"import sys, {process}; from utils.settings import Settings; Settings.load(_env_file=None);"
        f"print(*({{*'{names}'.split(',')}} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_a_mongodb_url_that_is_not_parsed_is_one_that_its_client_takes() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice, unparsed = random.Random(seed), 0
    for _ in range(20_000):
        url = "mongodb://" + "".join(dice.choices("aZ0.-:/19", k=dice.randint(1, 9)))
        if settings._PLAIN_MONGO_URL.fullmatch(url):
            parse_uri(url, warn=False)
            unparsed += 1
    assert unparsed > 1_000


@pytest.mark.parametrize("url", ["mongodb://h:0", "mongodb://h:65536", "mongodb://a:p@ss@h", "mongodb://h/?nonsense"])
def test_a_mongodb_url_that_its_client_refuses_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((PyMongoError, ValueError)):
        parse_uri(url, warn=False)
    monkeypatch.setenv("MONGO_URL", url)
    with pytest.raises(SettingsError, match="MONGO_URL"):
        Settings.load(_env_file=None)
