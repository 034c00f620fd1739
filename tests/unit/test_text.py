"""Long texts of others are cut between words, and show that they were."""

from __future__ import annotations

import pytest

from utils.text import one_line, shortened


@pytest.mark.parametrize(
    ("text", "longest", "shown"),
    [
        ("short enough", 12, "short enough"),
        ("connection refused by peer", 25, "connection refused by …"),
        ("connection refused by peer", 20, "connection refused …"),
        ("connection refused by peer", 19, "connection …"),
        ("onewordwithoutend", 10, "onewordw …"),
        ("", 5, ""),
    ],
)
def test_no_word_is_cut(text: str, longest: int, shown: str) -> None:
    assert shortened(text, longest) == shown
    assert len(shown) <= longest


def test_a_text_of_several_lines_becomes_one() -> None:
    assert one_line("a\nb\r\nc") == "a b c"
