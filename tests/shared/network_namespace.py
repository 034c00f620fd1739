"""Another network namespace, wired to this one: where a machine on the same network would stand. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HERE = "10.231.77.1"
THERE = "10.231.77.2"
SECONDS = 3

_ASK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
except OSError:
    sys.exit(3)
"""


def why_not() -> str:
    """Why there can be none here; '' when there can."""
    if os.geteuid() != 0:
        return "another network namespace needs root"
    return "" if shutil.which("ip") else "there is no ip command here"


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str

    def reaches(self, port: int, address: str = HERE) -> bool:
        """Whether a TCP connection from there to a port of this machine comes about."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-c", _ASK, address, str(port), str(SECONDS)]
        code = subprocess.run(command, check=False, timeout=90).returncode
        assert code in (0, 3), code
        return code == 0


@contextmanager
def network_namespace() -> Iterator[Namespace]:
    """`ip` fails with an error where the kernel does not let us. Everything is taken away at the end."""
    name = f"candlewick-{os.getpid()}"
    ours, theirs = f"cwa{os.getpid() % 10**6}", f"cwb{os.getpid() % 10**6}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        _ip("address", "add", f"{HERE}/30", "dev", ours)
        _ip("link", "set", ours, "up")
        _ip("-netns", name, "address", "add", f"{THERE}/30", "dev", theirs)
        _ip("-netns", name, "link", "set", theirs, "up")
        # The first way to another machine's loopback that comes to mind.
        _ip("-netns", name, "link", "set", "lo", "down")
        _ip("-netns", name, "route", "add", "127.0.0.0/8", "via", HERE, "dev", theirs)
        yield Namespace(name)
    finally:
        _ip("link", "delete", ours, check=False)
        _ip("netns", "delete", name, check=False)


def _ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"ip {' '.join(words)}: {done.stderr}"
