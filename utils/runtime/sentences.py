"""Texts of others, such as an error of a library, brought into one readable line."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Line ends become blanks."""
    return " ".join(text.splitlines())


def shortened(text: str, longest: int) -> str:
    """Not longer than `longest`: it ends after a full word, and says with … that there was more.

    >>> shortened("connection refused by peer", 20)
    'connection refused …'
    """
    if len(text) <= longest:
        return text
    kept = text[: longest - 1]  # the blank at this end counts: the word before it is full
    words, _, _ = kept.rpartition(" ")
    return f"{words.rstrip() or kept[: longest - 2]} …"
