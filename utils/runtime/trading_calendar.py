"""The session calendar that the settings ask for: the project's hours, and before them the file of one's own."""

from __future__ import annotations

from utils.market.sessions import SessionCalendar
from utils.market.sessions_file import SessionsError
from utils.runtime.settings import LOCAL_SESSIONS_FILE, Settings, SettingsError


def calendar_of(settings: Settings) -> SessionCalendar:
    """SettingsError names what is wrong with one of the files, or that a file that was named is not there."""
    local = settings.sessions_local_file
    if local != LOCAL_SESSIONS_FILE and not local.is_file():
        raise SettingsError(f"SESSIONS_LOCAL_FILE: {local} is not a file; name one that is, or leave it out")
    try:
        return SessionCalendar.load(local=local)
    except SessionsError as error:
        raise SettingsError(str(error)) from None
