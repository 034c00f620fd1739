"""The settings: the one owner of the environment. Read once, checked, frozen.

Every field here is explained in `.env.example`; a test keeps the two the same.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import redis
from pydantic import (
    AfterValidator,
    Field,
    FiniteFloat,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from utils.market_clock import MarketClock, parse_market_clock
from utils.mongo_url import is_mongo_url
from utils.timeframes import Timeframe, parse_timeframes

EXIT_BAD_SETTINGS = 2
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

DEFAULT_SECRETS_DIR = "/run/secrets"  # where Docker puts a service's secrets


class SettingsError(ValueError):
    """One clear sentence that names the variable at fault, and never shows a secret's value."""


def _symbols(text: str) -> str:
    symbols = split_list(text)
    if not symbols:
        raise ValueError("the list is empty: give at least one instrument, such as NSE:INFY")
    for symbol in symbols:
        exchange, _, name = symbol.partition(":")
        if not exchange or not name or not exchange.isalpha():
            raise ValueError(f"{symbol!r} is not EXCHANGE:TRADINGSYMBOL, such as NSE:INFY")
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


def _has_readable_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "unix" or (bool(parts.hostname) and parts.port != 0)
    except ValueError:
        return False


def _can_be_opened(url: str) -> bool:
    """Whether the client of the server understands all of it; nothing is connected to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if url.startswith(("redis://", "rediss://", "unix://")):
                redis.Redis.from_url(url).connection_pool.make_connection()
    except Exception:  # of any kind: TypeError, ValueError, those of the client
        return False
    return is_mongo_url(url) if url.startswith("mongodb") else True


def _time_of_day(text: str) -> str:
    hours, _, minutes = text.partition(":")
    if not (hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60):
        raise ValueError(f"{text!r} is not a time of day such as 15:15")
    return text


_URL_SCHEMES = {
    "kite_api_url": ("http", "https"),
    "kite_ws_url": ("ws", "wss"),
    "redis_url": ("redis", "rediss", "unix"),
    "mongo_url": ("mongodb", "mongodb+srv"),
}


class _SecretsPlace(BaseSettings):
    """Read before all others: where the files are that hold secrets."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore")

    secrets_dir: str = DEFAULT_SECRETS_DIR

    def existing(self) -> Path | None:
        """SettingsError for a folder that was named and is not there; without a name there may be none."""
        directory = Path(self.secrets_dir)
        try:
            if self.secrets_dir and directory.is_dir():
                return directory
        except OSError as error:
            raise SettingsError(f"SECRETS_DIR: can not be looked at ({error.strerror})") from None
        if self.secrets_dir not in ("", DEFAULT_SECRETS_DIR):
            raise SettingsError(
                _one_line(f"SECRETS_DIR: {directory} is not a folder; name one that is, or leave it empty")
            )
        return None


NO_ACCOUNT = "no-account-needed"


class Settings(BaseSettings):
    """All settings of all processes. Units are in the names; see `.env.example` for what each one does."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True
    )

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
    timeframes: Annotated[tuple[Timeframe, ...], NoDecode] = parse_timeframes("1m,3m,5m,15m,30m,1h,1d")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_prefix: str = ""
    mongo_url: SecretStr = SecretStr("mongodb://127.0.0.1:27017")
    mongo_db: str = Field(default="candlewick", pattern="^[A-Za-z0-9_]{1,60}$")
    journal_dir: Path = Path("journal")
    journal_days: int = Field(default=30, ge=1, le=36_500)
    journal_fsync_seconds: FiniteFloat = Field(default=1.0, ge=0, le=3600)
    stream_hours: FiniteFloat = Field(default=48.0, gt=0, le=10_000)
    stream_max_mb: int = Field(default=512, ge=LEAST_STREAM_MB, le=1_000_000)
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
    no_new_entries_after: Annotated[str, AfterValidator(_time_of_day)] = "15:15"
    warmup: bool = True
    history_requests_per_second: FiniteFloat = Field(default=3.0, ge=0.001, le=1e6)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_dir: Path = Path("logs")
    health_ttl_seconds: int = Field(default=15, ge=2, le=86_400)
    market_clock: Annotated[MarketClock, NoDecode] = MarketClock()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then `.env`, then the files of SECRETS_DIR: an empty secret leaves it to the next one."""
        given = (_given(settings_cls, source) for source in (env_settings, dotenv_settings))
        return init_settings, *given, file_secret_settings

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
            raise ValueError(f"not a URL that begins with {' or '.join(f'{one}://' for one in schemes)}")
        if info.field_name != "mongo_url" and not _has_readable_host(url):
            raise ValueError("its host and port can not be read: write special characters in a password as %XX")
        if any(letter <= " " for letter in url):
            raise ValueError("a blank or a line end is in it")
        if not _can_be_opened(url):
            raise ValueError("its options, user or database can not be read: see the server's manual for its URL")
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

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """From the environment and `.env`. SettingsError names the first variable at fault."""
        try:
            return cls(**{"_secrets_dir": _SecretsPlace().existing(), **overrides})
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None
        except UnicodeDecodeError:
            raise SettingsError(
                ".env: can not be read; make it, and the files of SECRETS_DIR, text in UTF-8"
            ) from None
        except OSError as error:
            raise SettingsError(
                f"{error.filename or '.env'}: can not be read ({error.strerror}); let this user read it"
            ) from None


def _given(settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> InitSettingsSource:
    """What the source gives, without the secrets that are empty in it."""
    secrets = {name for name, field in settings_cls.model_fields.items() if field.annotation is SecretStr}
    given = {name: value for name, value in source().items() if value or name not in secrets}
    return InitSettingsSource(settings_cls, init_kwargs=given)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return _one_line(f"{str(first['loc'][0]).upper()}: {message}" if first["loc"] else message)


def _one_line(sentence: str) -> str:
    """Whatever a value holds that stands in it."""
    line = " ".join(sentence.splitlines())
    return line if len(line) <= LONGEST_SENTENCE else f"{line[:LONGEST_SENTENCE]} …"
