"""Logging: JSON lines in a file for machines, plain lines on stderr for people, secrets in neither.

The times in a log are real times (IST), whatever `MARKET_CLOCK` is.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from logging.handlers import RotatingFileHandler
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import orjson
import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from utils.market.ist import IST
from utils.runtime.settings import Settings, SettingsError

MASK = "***"
SHORTEST_SECRET = (
    4  # what is shorter stands in half the words of a log: masking it would hide the log, not the secret
)
OURS = frozenset({"at", "level", "process"})  # never from outside: a secret that reads "info" leaves them readable
FILE_BYTES = 20_000_000
FILES_KEPT = 5
LONGEST_INTEGER = 1 << 63
HANDLER_MARK = "candlewick"

BoundLogger = structlog.stdlib.BoundLogger


class SecretMask:
    """Replaces every known secret in whatever is about to be logged."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        """From now on `secret` (as it is, or quoted for a URL) is shown as ***, unless it is too short to be one."""
        forms = {secret, quote(secret, safe=""), unquote(secret)}
        self._secrets |= {form for form in forms if len(form) >= SHORTEST_SECRET}
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def value(self, value: object) -> Any:
        """The same value in JSON's types, without secrets."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            text = str(value)
            unfit = isinstance(value, int) and not -LONGEST_INTEGER <= value < LONGEST_INTEGER
            return self.text(text) if unfit or self.text(text) != text else value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(element) for key, element in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(element) for element in value]
        return self.text(value if isinstance(value, str) else str(value))

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        """As the last structlog processor before a line is written."""
        masked: EventDict = self.value(
            {key: event_field for key, event_field in event.items() if not key.startswith("_")}
        )
        return {**masked, **{name: event[name] for name in OURS if name in event}}


_mask = SecretMask()


def hide_secret(secret: str) -> None:
    """Masks a secret that came after the start, such as a new access token."""
    _mask.add(secret)


def setup_logging(process: str, settings: Settings) -> BoundLogger:
    """The process's logger, to LOG_DIR/<process>.log (rotated) and stderr. SettingsError: LOG_DIR is not writable.

    Lines of libraries that use `logging` come out the same way, masked as well.
    """
    for secret in secrets_of(settings):
        _mask.add(secret)
    handlers = [_file_handler(process, settings), _stderr_handler()]
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if handler.name == HANDLER_MARK]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.name = HANDLER_MARK
        root.addHandler(handler)
    root.setLevel(settings.log_level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _of_process(process),
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=False,
    )
    logger: BoundLogger = structlog.get_logger(process)
    return logger


def secrets_of(settings: Settings) -> list[str]:
    """Every secret text in the settings: the plain ones whole, of a URL its password."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            found += _url_passwords(text) if "://" in text else [text]
    return [secret for secret in found if secret]


def _url_passwords(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    in_query = [value for name, value in parse_qsl(parts.query) if name == "password"]
    return [parts.password or "", *in_query]


def _time(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    event["at"] = datetime.now(IST).isoformat(timespec="milliseconds")
    return event


def _of_process(process: str) -> Processor:
    """Whoever writes a line in this process, a library's logger aside: its own name need not be given each time."""

    def name_process(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    return name_process


_SHARED: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _time,
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


def _as_json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    return orjson.dumps(event).decode()


def _as_line(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """`11:25:49.123 WARNING connect: socket silent  seconds=5.1`, a traceback below it."""
    rest = dict(event)
    at, level = str(rest.pop("at"))[11:23], str(rest.pop("level")).upper()
    process, message = rest.pop("process", rest.pop("logger", "")), rest.pop("event")
    exception = rest.pop("exception", None)
    fields = "".join(f"  {name}={value}" for name, value in rest.items() if name != "logger")
    return f"{at} {level:<7} {process}: {message}{fields}" + (f"\n{exception}" if exception else "")


def _formatter(render: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[_mask, render],
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
    )


def _file_handler(process: str, settings: Settings) -> logging.Handler:
    try:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        path = settings.log_dir / f"{process}.log"
        handler = RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"LOG_DIR: {settings.log_dir} cannot be written ({error.strerror}); name a folder that can"
        ) from None
    handler.setFormatter(_formatter(_as_json))
    return handler


def _stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(_as_line))
    return handler
