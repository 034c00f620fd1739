"""The connector: frames from Kite's WebSocket into the journal and the streams `ticks:{shard}`."""

from __future__ import annotations

import structlog

from utils.connector.service import Connector
from utils.journal.keeper import journal_lock
from utils.runtime.lifecycle import EXIT_OK, StopRequest, run_script
from utils.runtime.settings import Settings, SettingsError


def main(settings: Settings, stop: StopRequest) -> int:
    """Runs until the stop is asked for."""
    if not settings.api_key.get_secret_value():
        raise SettingsError("API_KEY: it is empty; give the key of your Kite Connect app")
    with journal_lock(settings.journal_dir):
        Connector(settings, stop, structlog.get_logger("connect").bind(process="connect")).run()
    return EXIT_OK


if __name__ == "__main__":
    run_script("connect", main)
