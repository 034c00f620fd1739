"""The deployment files keep their promises: valid, hardened, and nothing published beyond this machine."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.shared.compose_file import COMPOSE, DEMO, LIVE_PROCESSES, REPLAY, REPO, STORES, filled_in, mounts, services
from tests.shared.guarded_valkey import password_names
from tests.shared.pages import Example, example_text
from utils.runtime.memory_sizes import size_bytes
from utils.runtime.settings import Settings

DOCKERFILE = REPO / "Dockerfile"
EXAMPLE = REPO / ".env.example"
TOOLS = Path(sys.executable).parent
PROCESSES = (*LIVE_PROCESSES, DEMO, REPLAY)
ALL = (*STORES, *PROCESSES)


def run_tool(*command: str | Path) -> str:
    """What the tool prints; the test fails with it when the tool finds fault."""
    done = subprocess.run([*map(str, command)], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def instructions(name: str) -> list[str]:
    """The arguments of every such instruction, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    return re.findall(rf"^{name} +(.*)$", text, flags=re.MULTILINE)


def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    run_tool(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run_tool(TOOLS / "hadolint", "--failure-threshold", "style", DOCKERFILE)


def test_the_services_are_those_the_readme_speaks_of() -> None:
    assert set(services()) == set(ALL)
    assert {name for name, service in services().items() if service.get("profiles")} == {DEMO, REPLAY}


@pytest.mark.parametrize("name", STORES)
def test_the_stores_are_published_on_loopback_only(name: str) -> None:
    ports = services()[name]["ports"]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", PROCESSES)
def test_nothing_else_is_published(name: str) -> None:
    assert not {"ports", "network_mode", "privileged", "cap_add", "devices", "pid"} & set(services()[name])


@pytest.mark.parametrize("name", ALL)
def test_every_service_is_hardened_and_bounded(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["logging"]["driver"] == "json-file"
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert {"mem_limit", "pids_limit", "stop_grace_period"} <= set(service)
    assert any(str(place).startswith("/tmp") for place in service["tmpfs"])


@pytest.mark.parametrize("name", [*STORES, *LIVE_PROCESSES])
def test_what_runs_all_day_comes_back_by_itself_and_shows_how_it_is(name: str) -> None:
    service = services()[name]
    assert service["restart"] == "unless-stopped"
    health = service["healthcheck"]
    assert health["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= set(health)


@pytest.mark.parametrize("name", LIVE_PROCESSES)
def test_health_is_asked_of_the_process_itself(name: str) -> None:
    process = name.replace("-", "_")
    assert services()[name]["healthcheck"]["test"] == ["CMD", "python", "manage.py", "doctor", "--process", process]


@pytest.mark.parametrize("name", STORES)
def test_the_stores_want_a_password_and_run_as_no_root(name: str) -> None:
    service = services()[name]
    uid = str(service["user"]).partition(":")[0]
    assert int(uid) > 0
    passwords = {str(value) for key, value in service["environment"].items() if "PASSWORD" in key or "AUTH" in key}
    assert len(passwords) >= 3
    assert all(re.match(rf"\$\{{{name.upper()}_([A-Z_]+_)?PASSWORD[}}:]", value) for value in passwords)


def limit_bytes(name: str) -> int:
    return size_bytes(filled_in(str(services()[name]["mem_limit"]), {}))


def test_what_runs_all_day_fits_into_the_machine_that_the_readme_names() -> None:
    """A machine of 4 GB has some 3.7 for programs; the system and Docker itself take a part of that."""
    (gigabytes,) = re.findall(r"A machine with (\d+) GB of memory", (REPO / "README.md").read_text())
    room = (int(gigabytes) << 30) - (640 << 20)
    assert sum(map(limit_bytes, (*STORES, *LIVE_PROCESSES))) <= room
    assert all(limit_bytes(name) <= room for name in (DEMO, REPLAY))


@pytest.mark.parametrize("given", [{}, {"REDIS_MEM_LIMIT": "3g"}])
@pytest.mark.parametrize("name", LIVE_PROCESSES)
def test_the_doctor_is_given_the_limits_of_what_runs_all_day(name: str, given: dict[str, str]) -> None:
    shown = filled_in(str(services()[name]["environment"]["MEMORY_LIMITS"]), given)
    limits = [filled_in(str(services()[each]["mem_limit"]), given) for each in (*STORES, *LIVE_PROCESSES)]
    assert shown.split("+") == limits


def test_no_password_has_a_default_in_the_compose_file() -> None:
    uses = re.findall(r"\$\{([A-Z_]*PASSWORD)(:-[^}]*)?", COMPOSE.read_text())
    assert {name for name, _ in uses} == set(password_names())
    assert [default for _, default in uses if default] == []


def test_the_example_environment_starts_everything() -> None:
    given = dict(re.findall(r"^([A-Z_]+)=(.+)$", EXAMPLE.read_text(), flags=re.MULTILINE))
    filled = filled_in(COMPOSE.read_text(), given)
    assert set(password_names()) <= set(given)
    assert f"redis://connector:{given['REDIS_CONNECTOR_PASSWORD']}@redis:6379/0" in filled
    YAML(typ="safe").load(filled)


@pytest.mark.parametrize("name", LIVE_PROCESSES)
def test_what_a_process_keeps_lies_on_a_volume(name: str) -> None:
    service = services()[name]
    held = mounts(service)
    assert held.pop("/app/local") == "./local"
    assert "./local:/app/local:ro" in service["volumes"], "what is yours is read, and nothing else"
    if name == "signal-worker":
        assert held.pop("/app/strategies") == "./strategies"
        assert "./strategies:/app/strategies:ro" in service["volumes"]
    assert set(held) <= {"/data/journal", "/data/logs", "/data/run"}
    assert service["environment"]["LOG_DIR"] in held
    if name == "connector":
        assert service["environment"]["JOURNAL_DIR"] in held
    if name != "candle-worker":
        assert str(Path(service["environment"]["ACCESS_TOKEN_FILE"]).parent) in held


def test_the_security_pages_secret_file_is_valid_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    override = tmp_path / "docker-compose.override.yml"
    override.write_text(example_text(Example.SECRET_FILES))
    run_tool(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", override)
    content = YAML(typ="safe").load(override)
    assert set(content["services"]) <= set(services())
    (name,) = content["secrets"]
    assert content["services"]["connector"]["secrets"] == [name]
    (tmp_path / name).write_text("of-a-file\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv(name.upper(), "")
    assert getattr(Settings.load(_env_file=None), name).get_secret_value() == "of-a-file"


def test_the_demo_holds_nothing_of_the_live_data() -> None:
    demo = services()[DEMO]
    assert set(mounts(demo)) == {"/data/demo"}
    assert "env_file" not in demo
    assert not {"API_KEY", "API_SECRET", "ACCESS_TOKEN"} & set(demo["environment"])


def test_a_replay_reads_the_journal_and_knows_nothing_of_the_broker() -> None:
    replay = services()[REPLAY]
    own = {"./local:/app/local:ro", "./strategies:/app/strategies:ro"}
    assert {"logs:/data/logs", "journal:/data/journal:ro", *own} == set(replay["volumes"])
    assert {name: replay["environment"][name] for name in ("API_KEY", "API_SECRET", "ACCESS_TOKEN")} == dict.fromkeys(
        ("API_KEY", "API_SECRET", "ACCESS_TOKEN"), ""
    )
    assert replay["environment"]["REDIS_URL"].startswith("redis://demo:")
    assert replay["networks"] == ["stores"]


def test_the_image_runs_as_no_root_from_small_official_bases() -> None:
    bases = [base.split() for base in instructions("FROM")]
    stages = {base[2] for base in bases if len(base) == 3}
    assert all(re.fullmatch(r"python:3\.1[1-3]-slim", base[0]) for base in bases if base[0] not in stages)
    assert bases[-1][0] == services()["connector"]["build"]["target"] == "live"
    user = instructions("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert not DOCKERFILE.read_text().startswith("# syntax=")


def test_no_start_in_the_image_compiles_python() -> None:
    """Ours and the standard library, of which the base has the sources only; pip compiles what it installs."""
    (live,) = re.findall(r"^FROM \S+ AS live$(.*?)^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.search(r"^RUN python -m compileall .* /usr/local/lib/python3\.\*/$", live, flags=re.MULTILINE)
    assert any("-m compileall -q ." in command for command in instructions("RUN"))
    assert not any("--no-compile" in command for command in instructions("RUN"))


def is_sent_to_the_builder(path: str) -> bool:
    """.dockerignore's rules, as far as the file uses them: the last one that fits decides."""
    sent = True
    for line in (REPO / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        rule, sends = line.removeprefix("!"), line.startswith("!")
        parts = [path, *map(str, Path(path).parents)]
        if any(fnmatch.fnmatch(part, rule.removeprefix("**/")) for part in parts):
            sent = sends
    return sent


@pytest.mark.parametrize(
    "path", [".env", ".git/config", "journal/2026-07-31.journal", "run/access_token", "tests/a.py"]
)
def test_no_secret_and_no_data_goes_into_the_image(path: str) -> None:
    assert not is_sent_to_the_builder(path)


def test_all_code_goes_into_the_image() -> None:
    packages = {path.parent for path in REPO.glob("*/__init__.py")} - {REPO / "tests", REPO / "bench"}
    assert packages >= {REPO / "commands", REPO / "strategies", REPO / "utils"}
    files = [*REPO.glob("*.py"), *(path for package in packages for path in package.rglob("*") if path.is_file())]
    paths = [str(file.relative_to(REPO)) for file in files if "__pycache__" not in file.parts]
    assert [path for path in paths if not is_sent_to_the_builder(path)] == []


def test_each_process_is_started_by_a_script_that_is_there() -> None:
    commands: dict[str, Any] = {name: services()[name]["command"] for name in PROCESSES}
    assert all((REPO / command[1]).is_file() for command in commands.values())
