"""How a process starts, is asked to stop, and ends: one way for all scripts."""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from utils.runtime.log import setup_logging
from utils.runtime.settings import EXIT_BAD_SETTINGS, EXIT_REFUSED, Settings, SettingsError

__all__ = ["EXIT_BAD_SETTINGS", "EXIT_FAILED", "EXIT_OK", "EXIT_REFUSED", "FatalError", "StopRequest", "run_script"]

EXIT_OK = 0
EXIT_FAILED = 1

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class FatalError(Exception):
    """The process ends: a sentence (what is wrong, what to do) and its exit code. Asking again would not help."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class StopRequest:
    """Whether the process was asked to stop. Any thread may ask it or wait for it.

    A pipe, not a threading.Event: an Event's lock is not safe to take inside a signal handler.
    """

    def __init__(self) -> None:
        self.requested = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def listen(self) -> None:
        """SIGTERM and SIGINT ask from now on. To be called from the main thread."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def request(self) -> None:
        """Ask from within: wakes everyone who waits, now and later."""
        if not self.requested:
            self.requested = True
            os.write(self._writer, b"\x00")

    def wait(self, seconds: float) -> bool:
        """Sleep up to so many seconds; returns at once, and True, when the stop is asked for."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        # The byte is never read: it stays there for every other waiter.
        poll.poll(max(0.0, seconds) * 1000)
        return self.requested

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()


def run_script(process: str, main: Callable[[Settings, StopRequest], int]) -> NoReturn:
    """Load the settings, run `main`, leave with its exit code.

    A wrong setting, wherever it is found, is one sentence on stderr and exit code 2. A FatalError is logged as its
    sentence, and has an exit code of its own; any other exception is logged with its traceback and exit code 1.
    """
    stop = StopRequest()
    stop.listen()
    try:
        settings = Settings.load()
        log = setup_logging(process, settings)
    except SettingsError as error:
        _leave_for_settings(process, error)
    log.info("starts", pid=os.getpid())
    for name in settings.unread:
        log.warning(name.sentence)
    gc.freeze()  # what imports make stays: no full collection goes through it, not even the first
    try:
        code = main(settings, stop)
    except SettingsError as error:
        _leave_for_settings(process, error)
    except FatalError as error:
        log.error(str(error))
        code = error.exit_code
    except Exception:
        log.exception("fails")
        code = EXIT_FAILED
    log.info("ends", exit_code=code)
    raise SystemExit(code)


def _leave_for_settings(process: str, error: SettingsError) -> NoReturn:
    sys.stderr.write(f"{process}: {error}\n")
    raise SystemExit(EXIT_BAD_SETTINGS)
