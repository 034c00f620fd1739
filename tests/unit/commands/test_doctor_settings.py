"""The doctor's sentences about what is set for nobody, and about a machine that is too small."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.doctor.machine import machine_findings, memory_of_machine, redis_room_findings
from commands.doctor.settings import settings_findings
from utils.runtime.memory_sizes import size_bytes, sum_of_sizes
from utils.runtime.settings import Settings, SettingsError

GIGABYTE = 1 << 30


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_setting_under_a_near_name_is_a_problem_and_a_foreign_one_in_env_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("COLOUR=red\n")
    monkeypatch.setenv("INSTRUMENT", "NSE:TCS")
    found = [
        (finding.process, finding.sentence, finding.is_problem) for finding in settings_findings(Settings.load())
    ]
    assert found == [
        ("settings", "COLOUR in .env is no setting, so that its value is ignored: take it out.", False),
        (
            "settings",
            "INSTRUMENT in the environment is no setting, so that its value is ignored: write INSTRUMENTS.",
            True,
        ),
    ]


def test_a_token_file_without_a_token_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "token"
    settings = Settings.load(access_token_file=path)
    assert list(settings_findings(settings)) == []
    path.write_text("my token: Abc123")
    (found,) = settings_findings(settings)
    assert found.is_problem
    remedy = "log in with 'python manage.py login', or write the token alone into it"
    assert found.sentence == f"ACCESS_TOKEN_FILE: {path} holds more than a token; {remedy}."


def test_limits_that_do_not_fit_the_machine_are_reported() -> None:
    assert list(machine_findings("1344m+768m+384m+448m+448m", 4 * GIGABYTE)) == []
    assert list(machine_findings("", 1)) == []
    (found,) = machine_findings("1344m+768m+384m+448m+448m", 2 * GIGABYTE)
    assert not found.is_problem
    assert found.sentence == (
        "the containers may take 3,392 MB of memory together, and it has 2,048 MB: take a larger one, or lower "
        "REDIS_MAXMEMORY and REDIS_MEM_LIMIT."
    )


def test_a_container_that_is_smaller_than_what_redis_may_take_is_a_problem() -> None:
    """As after an update with a REDIS_MAXMEMORY of one's own in `.env`, and no REDIS_MEM_LIMIT."""
    limits = "1344m+768m+384m+448m+448m"
    for harmless in (None, {}, {"maxmemory": 0}, {"maxmemory": 896 << 20}):
        assert list(redis_room_findings(limits, harmless)) == []
    assert list(redis_room_findings("", {"maxmemory": GIGABYTE})) == []
    (found,) = redis_room_findings(limits, {"maxmemory": 1536 << 20})
    assert found.is_problem
    assert found.sentence == (
        "its container is ended before Redis is full: REDIS_MAXMEMORY is 1,536 MB, and the container may take "
        "1,344 MB: set REDIS_MEM_LIMIT to a third more than REDIS_MAXMEMORY."
    )


def test_the_memory_of_this_machine_is_what_its_kernel_gives() -> None:
    (line,) = [
        text_line for text_line in Path("/proc/meminfo").read_text().splitlines() if text_line.startswith("MemTotal:")
    ]
    assert abs(memory_of_machine() - int(line.split()[1]) * 1024) < 64 << 20


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 << 20), ("1g", GIGABYTE), ("896mb", 896 << 20), ("2048", 2048), ("3K", 3072)]
)
def test_sizes_are_read_as_compose_reads_them(text: str, size: int) -> None:
    assert size_bytes(text) == sum_of_sizes(text) == size


@pytest.mark.parametrize("text", ["x", "1m+", "+", "1.5g", "-1m", "1t"])
def test_what_is_no_size_is_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^MEMORY_LIMITS: .* is no size"):
        Settings.load(memory_limits=text)
