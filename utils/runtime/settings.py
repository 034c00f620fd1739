"""The settings: the one owner of the environment. Read once, checked, frozen.

Every field here is explained in `.env.example`; a test keeps the two the same.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from utils.market.clock import MarketClock, parse_market_clock
from utils.market.entry_limit import minutes_before_close
from utils.market.timeframes import Timeframe, parse_timeframes
from utils.runtime.memory_sizes import check_sizes
from utils.runtime.setting_names import UnreadName
from utils.runtime.setting_sources import DEFAULT_SECRETS_DIR, SettingsError, given_settings
from utils.runtime.store_urls import UrlError, check_mongo_url, check_redis_url
from utils.text import one_line, shortened

__all__ = ["Settings", "SettingsError"]

EXIT_BAD_SETTINGS = 2
EXIT_REFUSED = 3  # Redis refuses what it is asked for, and asking again would not help
LONGEST_SENTENCE = 500
LAST_MARKET_MS = 4_102_444_800_000  # 2100-01-01
INSTRUMENTS_PER_CONNECTION = 3000
MAX_CONNECTIONS = 3
LEAST_STREAM_MB = 16

DEFAULT_INSTRUMENTS = (
    "NSE:NIFTY 50,NSE:NIFTY BANK,NSE:ADANIPORTS,NSE:APOLLOHOSP,NSE:ASIANPAINT,NSE:AXISBANK,NSE:BAJAJ-AUTO,"
    "NSE:BAJFINANCE,NSE:BAJAJFINSV,NSE:BEL,NSE:BHARTIARTL,NSE:CIPLA,NSE:COALINDIA,NSE:DRREDDY,NSE:EICHERMOT,"
    "NSE:GRASIM,NSE:HCLTECH,NSE:HDFCBANK,NSE:HDFCLIFE,NSE:HEROMOTOCO,NSE:HINDALCO,NSE:HINDUNILVR,"
    "NSE:ICICIBANK,NSE:INDUSINDBK,NSE:INFY,NSE:ITC,NSE:JSWSTEEL,NSE:KOTAKBANK,NSE:LT,NSE:M&M,NSE:MARUTI,"
    "NSE:NESTLEIND,NSE:NTPC,NSE:ONGC,NSE:POWERGRID,NSE:RELIANCE,NSE:SBILIFE,NSE:SBIN,NSE:SHRIRAMFIN,"
    "NSE:SUNPHARMA,NSE:TATACONSUM,NSE:TATASTEEL,NSE:TCS,NSE:TECHM,NSE:TITAN,NSE:TRENT,NSE:ULTRACEMCO,"
    "NSE:WIPRO,NSE:ADANIENT,NSE:JIOFIN"
)

ENV_FILE = Path(".env")
LOCAL_SESSIONS_FILE = Path("local/sessions.local.toml")


def _symbols(text: str) -> str:
    symbols = split_list(text)
    if not symbols:
        raise ValueError("the list is empty: give at least one instrument, such as NSE:INFY")
    for symbol in symbols:
        exchange, _, name = symbol.partition(":")
        if not exchange or not name or not exchange.isalpha():
            raise ValueError(f"{symbol!r} is not EXCHANGE:TRADINGSYMBOL, such as NSE:INFY")
        if ":" in name:
            raise ValueError(f"{symbol!r} has more than one colon: put a comma between two instruments")
    if len(set(symbols)) != len(symbols):
        twice = next(symbol for symbol in symbols if symbols.count(symbol) > 1)
        raise ValueError(f"{twice!r} stands twice: keep one")
    most = INSTRUMENTS_PER_CONNECTION * MAX_CONNECTIONS
    if len(symbols) > most:
        raise ValueError(
            f"{len(symbols)} instruments: the broker allows {most} "
            f"({MAX_CONNECTIONS} connections of {INSTRUMENTS_PER_CONNECTION})"
        )
    return text


def split_list(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list, trimmed, empty ones left out."""
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def _check_host(url: str) -> None:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return
    raise UrlError("its host and port cannot be read: write special characters in a password as %XX")


def _prefix(text: str) -> str:
    """It stands in the rules of Redis' users, where a blank or a * would mean something else."""
    if not re.fullmatch("[A-Za-z0-9_.:-]{0,60}", text):
        raise ValueError("write letters, digits, and _ . : - only, such as mine:")
    return text


def _entry_limit(text: str) -> str:
    minutes_before_close(text)
    return text


_URL_SCHEMES = {
    "kite_api_url": ("http", "https"),
    "kite_ws_url": ("ws", "wss"),
    "redis_url": ("redis", "rediss", "unix"),
    "mongo_url": ("mongodb", "mongodb+srv"),
}
_CHECKS_OF_URLS = {"redis_url": check_redis_url, "mongo_url": check_mongo_url}


NO_ACCOUNT = "no-account-needed"


class Settings(BaseModel):
    """All settings of all processes. Units are in the names; see `.env.example` for what each one does."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    api_key: SecretStr = SecretStr("")
    api_secret: SecretStr = SecretStr("")
    access_token: SecretStr = SecretStr("")
    access_token_file: Path = Path("run/access_token")
    secrets_dir: str = DEFAULT_SECRETS_DIR
    user_id: str = ""
    kite_api_url: str = "https://api.kite.trade"
    kite_ws_url: str = "wss://ws.kite.trade"
    instruments: Annotated[str, AfterValidator(_symbols)] = DEFAULT_INSTRUMENTS
    connections: int = Field(default=0, ge=0, le=MAX_CONNECTIONS)
    subscribe_mode: Literal["full", "quote", "ltp"] = "full"
    timeframes: tuple[Timeframe, ...] = parse_timeframes("1m,3m,5m,15m,30m,1h,1d")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_prefix: Annotated[str, AfterValidator(_prefix)] = ""
    mongo_url: SecretStr = SecretStr("mongodb://127.0.0.1:27017")
    mongo_db: str = Field(default="candlewick", pattern="^[A-Za-z0-9_]{1,60}$")
    journal_dir: Path = Path("journal")
    journal_days: int = Field(default=30, ge=1, le=36_500)
    journal_fsync_seconds: FiniteFloat = Field(default=1.0, ge=0, le=3600)
    stream_hours: FiniteFloat = Field(default=48.0, gt=0, le=10_000)
    stream_max_mb: int = Field(default=256, ge=LEAST_STREAM_MB, le=1_000_000)
    closed_max_entries: int = Field(default=300_000, ge=10_000, le=100_000_000)
    rejected_max_entries: int = Field(default=10_000, ge=100, le=100_000_000)
    signals_max_entries: int = Field(default=100_000, ge=100, le=100_000_000)
    close_grace_seconds: FiniteFloat = Field(default=3.0, ge=0, le=3600)
    live_refresh_ms: int = Field(default=100, ge=1, le=3_600_000)
    snapshot_seconds: FiniteFloat = Field(default=15.0, gt=0, le=3600)
    watchdog_seconds: FiniteFloat = Field(default=5.0, ge=0.05, le=3600)
    lease_seconds: FiniteFloat = Field(default=3.0, ge=0.05, le=3600)
    zscore_window: int = Field(default=120, ge=10, le=1000)
    zscore_min_ticks: int = Field(default=20, ge=5, le=1000)
    zscore_warn: FiniteFloat = Field(default=2.5, gt=0, le=1e6)
    zscore_reject: FiniteFloat = Field(default=4.0, gt=0, le=1e6)
    zscore_floor_ticks: int = Field(default=10, ge=1, le=1_000_000)
    zscore_floor_bps: FiniteFloat = Field(default=10.0, ge=0, le=10_000)
    zscore_accept_after: int = Field(default=2, ge=2, le=1_000_000)
    max_clock_skew_seconds: int = Field(default=60, ge=1, le=86_400)
    strategies: str = "momentum"
    no_new_entries_after: Annotated[str, AfterValidator(_entry_limit)] = "15m"
    sessions_local_file: Path = LOCAL_SESSIONS_FILE
    warmup: bool = True
    history_requests_per_second: FiniteFloat = Field(default=3.0, ge=0.001, le=1e6)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_dir: Path = Path("logs")
    health_ttl_seconds: int = Field(default=15, ge=2, le=86_400)
    memory_limits: Annotated[str, AfterValidator(check_sizes)] = ""
    market_clock: MarketClock = MarketClock()

    _unread: tuple[UnreadName, ...] = PrivateAttr(default=())

    @field_validator("timeframes", mode="before")
    @classmethod
    def _parse_timeframes(cls, value: Any) -> Any:
        return parse_timeframes(value) if isinstance(value, str) else value

    @field_validator("market_clock", mode="before")
    @classmethod
    def _parse_market_clock(cls, value: Any) -> Any:
        try:
            clock = parse_market_clock(value) if isinstance(value, str) else value
            if isinstance(clock, MarketClock) and not 0 <= clock.now_ms() < LAST_MARKET_MS:
                raise ValueError("the market time that it gives for now is in no calendar")
            return clock
        except OverflowError:
            raise ValueError("its real time is not a finite number of seconds") from None

    @field_validator("*", mode="before")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("it holds a NUL character")
        return value

    @field_validator(*_URL_SCHEMES)
    @classmethod
    def _known_scheme(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        url = value.get_secret_value() if isinstance(value, SecretStr) else value
        scheme, separator, rest = url.partition("://")
        schemes = _URL_SCHEMES[info.field_name or ""]
        if scheme not in schemes or not separator or not rest:
            raise ValueError(
                f"not a URL that begins with {' or '.join(f'{known_scheme}://' for known_scheme in schemes)}"
            )
        if any(letter <= " " for letter in url):
            raise ValueError("a blank or a line end is in it")
        _CHECKS_OF_URLS.get(info.field_name or "", _check_host)(url)
        return value

    @field_validator("access_token_file", "journal_dir", "log_dir", "sessions_local_file")
    @classmethod
    def _of_a_home(cls, value: Path) -> Path:
        """`~` is a shell's word: without one it would make a folder of that name."""
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError("its ~ is nobody's home: write the path in full") from None

    @field_validator("api_key", "api_secret", "access_token", "user_id")
    @classmethod
    def _as_the_broker_gives_it(cls, value: str | SecretStr) -> str | SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not all("!" <= letter <= "~" and letter not in "\"'`" for letter in text):
            raise ValueError("a blank, a quote or a foreign letter is in it: copy it once more, alone")
        return value

    @model_validator(mode="before")
    @classmethod
    def _need_no_account_in_a_simulation(cls, values: Any) -> Any:
        """A played exchange has no accounts: with MARKET_CLOCK a missing key or token is a word of our own."""
        if isinstance(values, dict) and str(values.get("market_clock") or "").strip():
            missing = {name: NO_ACCOUNT for name in ("api_key", "access_token") if not values.get(name)}
            return {**values, **missing}
        return values

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.zscore_min_ticks > self.zscore_window:
            raise ValueError("ZSCORE_MIN_TICKS: more than ZSCORE_WINDOW, so that the check would never begin")
        if self.zscore_warn > self.zscore_reject:
            raise ValueError("ZSCORE_WARN: more than ZSCORE_REJECT, so that nothing would ever be warned of")
        if self.stream_max_mb < self.shards * LEAST_STREAM_MB:
            raise ValueError(
                f"STREAM_MAX_MB: too little for {self.shards} streams; "
                f"give at least {self.shards * LEAST_STREAM_MB}, {LEAST_STREAM_MB} for each connection"
            )
        return self

    @property
    def symbols(self) -> tuple[str, ...]:
        """The instruments asked for, as `EXCHANGE:TRADINGSYMBOL`."""
        return split_list(self.instruments)

    @property
    def strategy_names(self) -> tuple[str, ...]:
        return split_list(self.strategies)

    @property
    def shards(self) -> int:
        """One connection is one shard: as many as asked for, or as few as the broker's limit allows."""
        needed = -(-len(self.symbols) // INSTRUMENTS_PER_CONNECTION)
        return max(self.connections, needed)

    @property
    def stream_max_bytes(self) -> int:
        """How large one stream of frames may grow: what all of them may take, evenly."""
        return (self.stream_max_mb << 20) // self.shards

    @property
    def rejected_max_per_shard(self) -> int:
        """How many entries one stream of rejected packets or documents keeps."""
        return self.rejected_max_entries // self.shards

    @property
    def signals_max_per_shard(self) -> int:
        """How many entries one stream of signals keeps."""
        return self.signals_max_entries // self.shards

    @property
    def unread(self) -> tuple[UnreadName, ...]:
        """Names that somebody set, in our places, for nobody to read."""
        return self._unread

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """From the environment, `.env` and the files of SECRETS_DIR. SettingsError names the first one at fault.

        With `_env_file=None` no `.env` is read.
        """
        env_file = overrides.pop("_env_file", ENV_FILE)
        fields = {name.upper(): field.annotation for name, field in cls.model_fields.items()}
        secrets = {name for name, annotation in fields.items() if annotation is SecretStr}
        given = given_settings(fields, secrets, os.environ, env_file)
        try:
            found = cls(**{**{name.lower(): value for name, value in given.values.items()}, **overrides})
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None
        found._unread = given.unread
        return found


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    sentence = f"{str(first['loc'][0]).upper()}: {message}" if first["loc"] else message
    return shortened(one_line(sentence), LONGEST_SENTENCE)
