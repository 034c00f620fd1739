"""What is set for nobody to read: a setting under a wrong name, a token file without a token."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import Finding
from utils.kite.token_file import TokenFileError, read_token_file
from utils.runtime.settings import Settings

PLACE = "settings"


def settings_findings(settings: Settings) -> Iterator[Finding]:
    """A name near one of ours was meant for us: the default runs in its place, which is a problem."""
    for name in settings.unread:
        yield Finding(PLACE, name.sentence, is_problem=bool(name.near))
    try:
        read_token_file(settings.access_token_file)
    except TokenFileError as error:
        yield Finding(PLACE, f"{error}.")
