"""Checks the shell commands of the pages against what they name: Makefile, docker-compose.yml, manage.py, files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence

import click

from manage import main
from tests.shared.compose_file import REPO, services

# Of docker compose: what takes no value and what takes one, by subcommand.
_COMPOSE_OPTIONS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "up": (frozenset({"-d", "--build", "--no-deps"}), frozenset({"--scale"})),
    "exec": (frozenset({"-T"}), frozenset()),
    "run": (frozenset({"--rm", "--no-deps"}), frozenset()),
    "logs": (frozenset({"-f"}), frozenset({"--tail", "--since"})),
    "ps": (frozenset({"-a"}), frozenset()),
    "down": (frozenset({"--volumes"}), frozenset()),
    "restart": (frozenset(), frozenset()),
    "stop": (frozenset(), frozenset()),
    "create": (frozenset(), frozenset()),
}
_WITH_COMMAND = ("exec", "run")
_GIT = ("clone", "fetch", "log", "diff", "pull", "rev-parse", "checkout")


def check_command(line: str) -> None:
    """AssertionError when something that the command names is not there, or nobody knows how to check it."""
    words = shlex.split(line, comments=True)
    while words and words[0] in ("docker", "make", "git", "ssh", "nano", "sudo"):
        return _CHECKS[words[0]](words[1:])
    raise AssertionError(f"no check for {line!r}: run it in a test (tests/shared/pages.py), or teach this one")


def commands_of(text: str) -> Iterator[str]:
    """The lines of a block that are commands."""
    return (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def _check_docker(words: Sequence[str]) -> None:
    if words[0] == "stats":
        return
    assert words[0] == "compose", words
    subcommand, rest = words[1], list(words[2:])
    flags, valued = _COMPOSE_OPTIONS[subcommand]
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        assert option in flags | valued, f"docker compose {subcommand} has no checked option {option}"
        if option in valued:
            value = rest.pop(0)
            if option == "--scale":
                _check_service(value.partition("=")[0])
    if subcommand in _WITH_COMMAND:
        _check_service(rest[0])
        _check_in_container(rest[0], rest[1:])
    else:
        for name in rest:
            _check_service(name)


def _check_service(name: str) -> None:
    assert name in services(), f"docker-compose.yml has no service {name!r}"


def _check_in_container(service: str, words: Sequence[str]) -> None:
    if not words:
        return
    if words[0] == "redis-cli":
        assert service == "redis"
        return
    assert list(words[:2]) == ["python", "manage.py"], words
    check_console(words[2:])


def check_console(words: Sequence[str]) -> None:
    """Parses the arguments of manage.py, and runs nothing."""
    context = click.Context(main)
    assert isinstance(main, click.Group)
    command = main.get_command(context, words[0])
    assert command is not None, f"manage.py has no {words[0]!r}"
    try:
        command.make_context(words[0], list(words[1:]))
    except click.exceptions.Exit as leaving:  # --help
        assert leaving.exit_code == 0


def _check_make(words: Sequence[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), flags=re.MULTILINE)
    assert words[0] in targets, f"the Makefile has no {words[0]!r}"
    given = dict(word.split("=", 1) for word in words[1:])
    assert set(given) <= {"ARGS"}
    if words[0] == "demo":
        check_console(["demo", *shlex.split(given.get("ARGS", ""))])


def _check_git(words: Sequence[str]) -> None:
    assert words[0] in _GIT, words
    if "--" in words:
        assert all((REPO / path).exists() for path in words[words.index("--") + 1 :]), words


def _check_ssh(words: Sequence[str]) -> None:
    ports = [str(port) for name in ("redis", "mongo") for port in services()[name]["ports"]]
    forwarded = [words[at + 1] for at, word in enumerate(words) if word == "-L"]
    assert forwarded == [f"{port}:127.0.0.1:{port}" for port in (entry.rpartition(":")[2] for entry in ports)]


def _check_editor(words: Sequence[str]) -> None:
    assert list(words) == [".env"]


def _check_sudo(words: Sequence[str]) -> None:
    assert list(words) == ["timedatectl", "set-ntp", "true"], words


_CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "docker": _check_docker,
    "make": _check_make,
    "git": _check_git,
    "ssh": _check_ssh,
    "nano": _check_editor,
    "sudo": _check_sudo,
}
