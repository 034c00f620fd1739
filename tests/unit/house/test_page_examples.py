"""Every example of README.md and docs/ is run by a test or checked against what it names; links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.shared.pages import PAGES, README, REPO, Block, Example, all_blocks, blocks_of, example_text, section
from tests.shared.shell_lines import check_command, commands_of

FIRST_CHANGE = "FIRST_CHANGE.md"  # its blocks are run by tests/contract/test_first_change.py, all of them
ARCHITECTURE = REPO / "docs" / "ARCHITECTURE.md"
HOUSE = REPO / "docs" / "img" / "house.svg"
NEW_PATHS = {"local/sessions.local.toml"}  # the reader makes them
TABLES = ("| name in Redis |", "| MongoDB collection |")


def bash_blocks() -> list[Block]:
    """Those that no test runs."""
    blocks = [block for block in all_blocks() if block.page.name != FIRST_CHANGE]
    return [block for block in blocks if block.language == "bash" and block.example is None]


@pytest.mark.parametrize("block", bash_blocks(), ids=str)
def test_what_a_command_names_is_there(block: Block) -> None:
    for line in commands_of(block.text):
        check_command(line)


@pytest.mark.parametrize(
    "line",
    [
        "docker compose exec conector python manage.py doctor",
        "docker compose exec connector python manage.py docter",
        "docker compose exec connector python manage.py replay yesterday",
        "docker compose up -d --scale candle-workers=3",
        "make demo ARGS=--ful",
        "make tests",
        "curl https://example.com",
        "ssh -L 6379:127.0.0.1:6379 server",
    ],
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises((AssertionError, click.ClickException)):
        check_command(line)


def test_every_other_block_is_run_by_a_test() -> None:
    others = [block for block in all_blocks() if block.language != "bash" and block.page.name != FIRST_CHANGE]
    assert [str(block) for block in others if block.example is None] == []


@pytest.mark.parametrize("example", Example)
def test_an_example_is_there_once_and_used_by_a_test(example: Example) -> None:
    assert example_text(example)
    registry = REPO / "tests" / "shared" / "pages.py"
    tests = [path for path in (REPO / "tests").rglob("test_*.py") if path not in (registry, Path(__file__))]
    here = Path(__file__).read_text().count(f"Example.{example.name}")
    assert here or any(f"Example.{example.name}" in path.read_text() for path in tests)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_hidden_in_an_indented_paragraph(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\n\n {4,}\S.*", text) == []


@pytest.mark.parametrize("page", [*PAGES, REPO / "CONTRIBUTING.md", REPO / "local" / "README.md"], ids=str)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


@pytest.mark.parametrize("page", [*PAGES, REPO / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    """`utils/market/clock.py`; not where a part of it is left open (`commands/doctor/<topic>.py`)."""
    folders = "utils|commands|strategies|simulator|tests|deploy|docs|bench|local|requirements"
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    assert [path for path in named if not (REPO / path).exists() and path not in NEW_PATHS] == []


@pytest.mark.parametrize("page", [*PAGES, REPO / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_module_that_a_page_names_without_its_folder_is_there(page: Path) -> None:
    folders = ("utils", "commands", "strategies", "simulator", "tests", "bench")
    modules = [*REPO.glob("*.py"), *(path for folder in folders for path in (REPO / folder).rglob("*.py"))]
    assert set(re.findall(r"`(\w+\.py)`", page.read_text())) <= {path.name for path in modules}


@pytest.mark.parametrize("text", [HOUSE.read_text(), section(ARCHITECTURE, "## The house")], ids=["picture", "table"])
def test_the_house_has_every_folder_and_no_other(text: str) -> None:
    there = {f"utils/{path.parent.name}/" for path in (REPO / "utils").glob("*/__init__.py")}
    assert set(re.findall(r"utils/\w+/", text)) == there


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [page for page in PAGES if page != README], ids=lambda page: page.name)
def test_each_page_opens_with_whom_it_is_for(page: Path) -> None:
    title, _, opening, *_ = page.read_text().split("\n")
    assert title.startswith("# ")
    assert opening.startswith("**For ")


def test_the_bash_blocks_run_by_tests_are_few() -> None:
    """What is only checked is most of it: a block that is run must not be taken out of the check unseen."""
    run = [block.example for block in all_blocks() if block.language == "bash" and block.example is not None]
    assert sorted(run) == sorted(
        [Example.SET_UP, Example.AVX, Example.OVERCOMMIT, Example.DUMP, Example.BACK_UP, Example.RESTORE]
    )


def test_the_host_setting_is_the_same_now_and_after_a_reboot() -> None:
    now, later = commands_of(example_text(Example.OVERCOMMIT))
    assert now.removeprefix("sudo sysctl -w ") == "vm.overcommit_memory=1"
    assert later == "echo vm.overcommit_memory=1 | sudo tee /etc/sysctl.d/99-candlewick.conf"


def test_the_look_for_avx_finds_the_word_and_not_a_part_of_it() -> None:
    (line,) = commands_of(example_text(Example.AVX))
    assert line == "grep -m1 -ow avx /proc/cpuinfo"


def test_the_crontab_line_runs_a_command_of_ours_without_a_terminal() -> None:
    (line,) = example_text(Example.CRONTAB).splitlines()
    *when, rest = line.split(maxsplit=5)
    assert len(when) == 5
    folder, command = rest.split(" && ")
    assert folder == "cd candlewick"
    assert " -T " in command
    check_command(command)


def test_the_tables_of_names_are_in_the_readme() -> None:
    assert [head for head in TABLES if head not in README.read_text()] == []


def test_the_contents_name_every_chapter() -> None:
    chapters = re.findall(r"^## (.+)$", re.sub(r"```.*?```", "", README.read_text(), flags=re.DOTALL), re.MULTILINE)
    listed = section(README, "## Contents")
    missing = [title for title in chapters if title not in ("Contents", "More") and title not in listed]
    assert missing in ([], ["For your programs: MongoDB"])


def test_no_page_is_without_examples_that_are_looked_at() -> None:
    assert blocks_of(README)
