"""What each user of Redis really asks for, recorded while processes run, and what deploy/redis/start.sh lets it do.

    with Recording(valkey) as recording:
        ...start processes with recording.url_of("candle_worker")...
    recording.needs()["candle_worker"]

Each user goes through a proxy of its own, so that a line of MONITOR, which names no user, can be traced to one. What
a script calls stands there too, behind the script.
"""

from __future__ import annotations

import fnmatch
import re
import socket
import subprocess
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import redis

from commands.shared.embedded.redis import START, USERS, ValkeyServer
from tests.chaos.proxy import Proxies
from tests.shared.guarded_valkey import passwords
from utils.stores.redis_connection import open_redis

CONTAINERS = ("client", "memory", "script", "xgroup", "xinfo")
END = "the end of this recording"
_LINE = re.compile(rb"\+?[\d.]+ \[\d+ (?P<who>[^\]]+)\] (?P<words>.*)\r?\n?$", re.DOTALL)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)


@dataclass(frozen=True)
class Needs:
    """Commands, keys with what is done to them (`R`, `W` or `RW`), and channels that are spoken or listened on."""

    commands: set[str] = field(default_factory=set)
    keys: set[tuple[str, str]] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)

    def under(self, prefix: str) -> Needs:
        return replace(
            self,
            keys={(prefix + key, flags) for key, flags in self.keys},
            channels={prefix + channel for channel in self.channels},
        )

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.commands | other.commands, self.keys | other.keys, self.channels | other.channels)


class Recording:
    """From entering to leaving."""

    def __init__(self, valkey: ValkeyServer) -> None:
        self._valkey = valkey
        self._proxies = Proxies()
        self._lines: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._socket = socket.create_connection(("127.0.0.1", valkey.port))

    def __enter__(self) -> Self:
        self._proxies.__enter__()
        for user in USERS[1:]:
            self._proxies.open(user, self._valkey.port)
        password = self._valkey.password_of("default")
        self._socket.sendall(f"AUTH default {password}\r\nMONITOR\r\n".encode())
        self._reader.start()
        return self

    def __exit__(self, *details: object) -> None:
        with closing(open_redis(self._valkey.url)) as administrator:
            administrator.echo(END)
        self._reader.join(60)
        self._socket.close()
        self._proxies.__exit__(*details)

    @property
    def url(self) -> str:
        """The administrator's, whose part is not recorded."""
        return self._valkey.url

    def url_of(self, user: str) -> str:
        port = self._proxies.opened[user].port
        return self._valkey.url_of(user).replace(f":{self._valkey.port}/", f":{port}/")

    def needs(self) -> dict[str, Needs]:
        """By user."""
        found: dict[str, Needs] = defaultdict(Needs)
        for user, distinct in self._commands().items():
            for words in distinct:
                found[user].commands.add(name_of(words))
                found[user].channels.update(_channels(words))
            found[user].keys.update(self._keys(list(distinct)))
        return dict(found)

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                self._lines.append(line)
                if END.encode() in line:
                    return

    def _commands(self) -> dict[str, set[tuple[bytes, ...]]]:
        """By user, each once; of a script its keys and no arguments. What a script calls follows it."""
        users = {f"127.0.0.1:{port}": user for user, port in self._ports()}
        commands: dict[str, set[tuple[bytes, ...]]] = defaultdict(set)
        user: str | None = None
        for match in filter(None, map(_LINE.match, self._lines)):
            who = match["who"].decode()
            user = user if who == "lua" else users.get(who)
            if user is not None:
                commands[user].add(_shortened([_unescaped(word) for word in _WORD.findall(match["words"])]))
        return commands

    def _ports(self) -> list[tuple[str, int]]:
        return [(user, port) for user, proxy in self._proxies.opened.items() for port in proxy.ports_to_server]

    def _keys(self, commands: Sequence[Sequence[bytes]]) -> set[tuple[str, str]]:
        """As the server itself sees them."""
        with closing(open_redis(self._valkey.url)) as administrator:
            pipeline = administrator.pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command("COMMAND GETKEYSANDFLAGS", *words)  # type: ignore[no-untyped-call]
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        with_keys = [answer for answer in answers if isinstance(answer, list)]
        return {(key.decode(), flags_of(flags)) for answer in with_keys for key, flags in answer}


def flags_of(stated: Iterable[bytes]) -> str:
    """What an ACL asks for: reading for access, writing for anything that changes the key."""
    flags = {flag.lower() for flag in stated}
    return ("R" if b"access" in flags else "") + ("W" if flags & {b"update", b"insert", b"delete"} else "")


def name_of(words: Sequence[bytes]) -> str:
    """As ACL rules spell it: `hset`, `xinfo|stream`."""
    name = words[0].decode().lower()
    return f"{name}|{words[1].decode().lower()}" if name in CONTAINERS else name


def _channels(words: Sequence[bytes]) -> list[str]:
    if words[0].lower() == b"publish":
        return [words[1].decode()]
    return [word.decode() for word in words[1:]] if words[0].lower() in (b"subscribe", b"psubscribe") else []


def _shortened(words: list[bytes]) -> tuple[bytes, ...]:
    return tuple(words[: 3 + int(words[2])] if words[0].upper() in (b"EVAL", b"EVALSHA") else words)


def _unescaped(word: bytes) -> bytes:
    return word.decode("latin-1").encode("latin-1").decode("unicode_escape").encode("latin-1")


# -- what start.sh lets them do


def users_made(directory: Path, script: str = "", prefix: str = "") -> dict[str, list[str]]:
    """The rights of each user, in their order, as start.sh (or another text of it) writes them; no server starts."""
    start, users = directory / "start.sh", directory / "users.acl"
    start.write_text(script or START.read_text())
    given = {**passwords(), "REDIS_PREFIX": prefix, "REDIS_SERVER": "true", "ACL_FILE": str(users)}
    subprocess.run(["sh", str(start)], env={"PATH": "/usr/bin:/bin", **given}, check=True)
    lines = [line.split() for line in users.read_text().splitlines()]
    return {words[1]: [word for word in words[2:] if word[0] in "+-%~&"] for words in lines}


# A command, or names of one family: `closed:*`, `signals.*`, `lease:candle_worker:*`.
NARROW = re.compile(r"\+[a-z]+(\|[a-z]+)?|(%R?W?~|~|&)[a-z][\w.-]*(:[\w.-]+)*([:.]\*)?")


class Judge:
    """Knows the server's categories of commands."""

    def __init__(self, administrator: redis.Redis) -> None:
        self._categories: dict[str, set[str]] = {}
        self._administrator = administrator

    def unmet(self, rights: Sequence[str], needs: Needs) -> list[str]:
        """What the rights do not allow."""
        keys = [right.partition("~") for right in rights if right[0] in "%~"]
        patterns = [(flags.removeprefix("%") or "RW", pattern) for flags, _, pattern in keys]
        channels = [right[1:] for right in rights if right[0] == "&"]
        missing = [command for command in needs.commands if not self._allows(rights, command)]
        missing += [
            f"{flags} {key}"
            for key, flags in needs.keys
            if not any(set(flags) <= set(given) and fnmatch.fnmatchcase(key, pattern) for given, pattern in patterns)
        ]
        missing += [
            channel
            for channel in needs.channels
            if not any(fnmatch.fnmatchcase(channel, known) for known in channels)
        ]
        return sorted(missing)

    def spare(self, rights: Sequence[str], needs: Needs) -> list[str]:
        """The rights without which, or with less of which, the needs are met just as well."""
        found = []
        for at, right in enumerate(rights):
            others = [*rights[:at], *rights[at + 1 :]]
            weaker = [right.replace("%RW~", f"%{flag}~") for flag in "RW" if right.startswith("%RW~")]
            lesser = [others, *([*others, server] for server in weaker)]
            if right[0] != "-" and any(not self.unmet(server, needs) for server in lesser):
                found.append(right)
        return found

    @staticmethod
    def wide(rights: Sequence[str], known: Collection[str]) -> list[str]:
        """Rights that cover more than a family of names or a command, and that are not among the known ones."""
        return [
            right for right in rights if right[0] in "+~%&" and not NARROW.fullmatch(right) and right not in known
        ]

    def _allows(self, rights: Sequence[str], command: str) -> bool:
        allowed = False
        for right in rights:
            if right[0] in "+-" and self._is_about(right[1:], command):
                allowed = right[0] == "+"
        return allowed

    def _is_about(self, rule: str, command: str) -> bool:
        if rule == "@all":
            return True
        if not rule.startswith("@"):
            return rule in (command, command.partition("|")[0])
        if rule not in self._categories:
            self._categories[rule] = set(map(str, self._administrator.acl_cat(rule[1:])))
        return command in self._categories[rule] or command.partition("|")[0] in self._categories[rule]
