"""What to try next, as commands that work as they stand, and the time to try them in."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import sys
import termios
from collections.abc import Callable
from datetime import date

from commands.shared.run_environment import PROJECT, RunPlace
from utils.keys import Keys
from utils.runtime.lifecycle import StopRequest

ENTER_SECONDS = 30.0
_POLL_SECONDS = 0.2
LATER_COMMANDS = (
    "make demo ARGS=--stay    # leaves Redis and MongoDB running, and shows how to look into them",
    "make demo ARGS=--full    # the whole day, in seven minutes",
    "make demo ARGS=--help    # other days, speeds, instruments and faults",
)


def commands_to_try(place: RunPlace, symbol: str, timeframe: str, day: date) -> list[str]:
    """A live candle from Redis, a series from MongoDB and the signals' file, if there were any: for a shell."""
    signals = place.logs / f"signals_{day}.jsonl"
    return [
        _candle_command(place, Keys(place.redis_prefix).candle(symbol, timeframe)),
        _history_command(place, symbol, timeframe),
        *([f"tail -n 3 {shlex.quote(str(signals))}"] if signals.exists() else []),
    ]


def _candle_command(place: RunPlace, key: str) -> str:
    if shutil.which("redis-cli"):
        return f"redis-cli -u {_shell_url('REDIS_URL', place.redis_url)} hgetall {shlex.quote(key)}"
    code = f"import redis, sys; print(redis.from_url(sys.argv[1], decode_responses=True).hgetall({json.dumps(key)}))"
    return _python(code, "REDIS_URL", place.redis_url)


def _history_command(place: RunPlace, symbol: str, timeframe: str) -> str:
    wanted, columns = {"symbol": symbol, "timeframe": timeframe}, ["open", "high", "low", "close", "volume"]
    code = (
        f'import pandas, pymongo, sys; candles = pymongo.MongoClient(sys.argv[1])["{place.mongo_db}"]["candles"]; '
        f'found = candles.find({json.dumps(wanted)}).sort("k", 1); '
        f'print(pandas.DataFrame(found).set_index("start")[{json.dumps(columns)}])'
    )
    return _python(code, "MONGO_URL", place.mongo_url)


def _python(code: str, name: str, url: str) -> str:
    own = PROJECT / ".venv" / "bin" / "python"
    python = own if own.exists() else sys.executable
    return f"{shlex.quote(str(python))} -c {shlex.quote(code)} {_shell_url(name, url)}"


def _shell_url(name: str, url: str) -> str:
    """A server that the person named is called by its variable: the URL may hold a password."""
    return f'"${name}"' if os.environ.get(name) else shlex.quote(url)


def may_stay() -> bool:
    """Whether there is someone at a terminal who could ask for it."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def stay(is_asked_for: bool, print_line: Callable[[str], None]) -> None:
    """Leaves the servers running: as long as wanted when asked for, else, at a terminal, for some seconds.

    Ends at Enter, Ctrl-C or SIGTERM.
    """
    is_terminal = may_stay()
    stop = StopRequest()
    stop.listen()
    if not is_asked_for and is_terminal:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)  # an Enter from before is no answer
        print_line(f"Redis and MongoDB end in {ENTER_SECONDS:.0f} s; Enter leaves them running.")
        is_asked_for = _enter_within(ENTER_SECONDS, stop)
    if is_asked_for and not stop.requested:
        print_line("Redis and MongoDB run until " + ("Enter or Ctrl-C." if is_terminal else "SIGINT or SIGTERM."))
        while not stop.requested and not (is_terminal and _enter_within(_POLL_SECONDS, stop)):
            stop.wait(0.0 if is_terminal else _POLL_SECONDS)


def _enter_within(seconds: float, stop: StopRequest) -> bool:
    waited = 0.0
    while waited < seconds and not stop.requested:
        if select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
            sys.stdin.readline()
            return True
        waited += _POLL_SECONDS
    return False
