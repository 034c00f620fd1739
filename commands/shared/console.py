"""What the commands share in speaking to a person: settings with one clear sentence, and failures likewise."""

from __future__ import annotations

from typing import Any

import click
import redis

from utils.market.sessions import SessionCalendar
from utils.runtime.settings import EXIT_BAD_SETTINGS, Settings, SettingsError
from utils.runtime.trading_calendar import calendar_of
from utils.stores.redis_failure import failure_of


class SettingsFault(click.ClickException):
    """A setting at fault: one sentence, exit code 2."""

    exit_code = EXIT_BAD_SETTINGS


def load_settings(**overrides: Any) -> Settings:
    """The settings, or one sentence that names the variable at fault and exit code 2."""
    try:
        return Settings.load(**overrides)
    except SettingsError as error:
        raise SettingsFault(str(error)) from None


def load_calendar(settings: Settings) -> SessionCalendar:
    """The trading hours, or one sentence that names the file and the entry at fault and exit code 2."""
    try:
        return calendar_of(settings)
    except SettingsError as error:
        raise SettingsFault(str(error)) from None


def sentence_of(error: Exception) -> str:
    """What is wrong, and what to do; Redis' own texts have only the former."""
    return failure_of(error).sentence if isinstance(error, redis.RedisError) else str(error)
