"""URLs of Redis and MongoDB: what could be read otherwise than it was meant is refused, and nothing of it shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from utils.runtime.log import secrets_of
from utils.runtime.settings import Settings, SettingsError

SPECIAL = "a special character stands where none may, in the password perhaps: write @ as %40, # as %23"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def load(url: str) -> Settings:
    return Settings.load(**{"redis_url" if url.startswith(("redis", "unix")) else "mongo_url": url})


@pytest.mark.parametrize("scheme", ["redis://:{}@127.0.0.1:6379/0", "rediss://user:{}@h", "unix://u:{}@/tmp/r.sock",
                                    "mongodb://u:{}@127.0.0.1:27017/", "mongodb://u:{}@a,b/?replicaSet=r",
                                    "mongodb+srv://u:{}@h.x.y/"])  # fmt: skip
@pytest.mark.parametrize(
    "password",
    [
        "hush@horse#battery/staple",
        *(f"hush{sign}horse" for sign in "@#/?:%[]\\^|{}<>äß"),
        "hush%4",
        "hush%zz",
        "#hush",
    ],
)
def test_a_password_with_special_characters_is_refused_with_the_remedy(scheme: str, password: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(scheme.format(password))
    sentence = str(caught.value)
    assert sentence.partition(": ")[0] in {"REDIS_URL", "MONGO_URL"}
    assert SPECIAL in sentence
    assert "hush" not in repr(caught.value) and "horse" not in repr(caught.value)


@pytest.mark.parametrize("sign", "!$&'()*,;=-._~")
def test_a_password_with_harmless_signs_is_taken_as_it_is(sign: str) -> None:
    settings = load(f"redis://:a{sign}b@127.0.0.1:6379/0")
    kwargs = redis.Redis.from_url(settings.redis_url.get_secret_value()).connection_pool.connection_kwargs
    assert (kwargs["password"], kwargs["host"]) == (f"a{sign}b", "127.0.0.1")
    assert secrets_of(settings) == [f"a{sign}b"]


def test_a_plus_which_the_client_of_mongodb_reads_as_a_blank_is_refused_there_only() -> None:
    load("redis://:a+b@h")
    with pytest.raises(SettingsError, match=r"^MONGO_URL: .*\+ as %2B$"):
        load("mongodb://u:a+b@h/?w=majority")


@pytest.mark.parametrize(
    "option",
    [
        *("decode_responses=true", "decode_responses=false", "protocol=3", "protocol=2", "encoding=latin-1"),
        *("socket_timeout=30", "socket_connect_timeout=9", "timeout=3", "health_check_interval=30"),
        *("max_connections=5", "retry_on_timeout=true", "socket_keepalive=false", "legacy_responses=true"),
        *("encoding_errors=ignore", "socket_read_size=1", "retry_on_error=x", "single_connection_client=true"),
    ],
)
def test_an_option_that_would_override_ours_is_refused_by_name(option: str) -> None:
    with pytest.raises(SettingsError, match=f"^REDIS_URL: its option {option.partition('=')[0]} is not for the URL"):
        load(f"redis://127.0.0.1:6379/0?{option}")


def test_an_option_that_may_be_a_part_of_a_password_is_not_shown() -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: its option … is not for the URL"):
        load("redis://h/0?db=1&hush=1")


@pytest.mark.parametrize(
    "url",
    [
        *("redis://[::1]:6379/0", "redis://localhost", "redis://redis_1:6379/", "redis://h/15", "redis://h?db=3"),
        *("rediss://user:p%40ss%2F%23w@cache.example.com:6380/0", "rediss://h:6380?ssl_cert_reqs=none"),
        *("redis://h?client_name=mine", "unix:///tmp/r.sock", "unix://u:p@/tmp/r.sock?db=1"),
    ],
)
def test_a_url_that_names_whom_to_connect_to_is_taken(url: str) -> None:
    assert load(url).redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://h:6379/abc", "after its host stands more than the number of a database"),
        ("redis://h/0/1", "after its host stands more than the number of a database"),
        ("redis://h/1?db=2", "it names two databases"),
        ("redis://a:1,b:2/0", "its host and port cannot be read: write one of each"),
        ("redis://h:0", "its host and port cannot be read"),
        ("redis://h:65536", "its host and port cannot be read"),
        ("redis://", "not a URL that begins with"),
        ("redis://h/0#1", SPECIAL),
        ("mongodb://h/?w=0", "with w=0 a write is never acknowledged"),
        ("mongodb://h/?journal=false", "with journal=false a write may be lost"),
        ("mongodb://h/?timeoutMS=5", "its option timeoutMS is not for the URL to set"),
        ("mongodb://h/?unicode_decode_error_handler=ignore", "is not for the URL to set"),
        ("mongodb+srv://h.x.y/?nonsense=1", "its options"),
        ("mongodb://h/?tls=true&tlsCAFile=/nowhere", "or a file that they name"),
    ],
)
def test_a_url_that_means_something_else_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(url)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("mongodb://[::1]:27017/?authSource=admin", "mongodb://%2Ftmp%2Fmongodb-27017.sock"),
        "mongodb://a:27017,b:27017,c:27017/?replicaSet=rs0&w=majority&readPreference=secondaryPreferred",
        "mongodb+srv://user:pass@cluster0.abcde.mongodb.net/?retryWrites=true&w=majority&appName=Cluster0",
        "mongodb://acc:a2V5==@acc.mongo.cosmos.azure.com:10255/?ssl=true&retrywrites=false&appName=@acc@",
        *("mongodb://u:p%40ss@h/db?authMechanism=SCRAM-SHA-256&tls=true", "mongodb://h/?tz_aware=false"),
    ],
)
def test_a_url_of_mongodb_as_its_vendors_write_it_is_taken(url: str) -> None:
    assert load(url).mongo_url.get_secret_value() == url
