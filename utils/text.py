"""Text that people wrote into files, with whatever editor or shell, and texts of libraries as one readable line."""

from __future__ import annotations

import codecs

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_QUOTES = ('""', "''", "``", "“”", "„“", "‘’", "‚‘", "«»")


def decoded(content: bytes) -> str:
    """The text of UTF-8 or UTF-16, with or without a byte order mark. UnicodeDecodeError for anything else.

    >>> decoded("a=1".encode("utf-16")), decoded(b"\\xef\\xbb\\xbfa=1")
    ('a=1', 'a=1')
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding)
    if len(content) > 1 and content[0] and not content[1]:  # UTF-16 that lost its mark: each other byte is 0
        return content.decode("utf-16-le")
    return content.decode("utf-8")


def without_quotes(text: str) -> str:
    """The value itself: blanks and one pair of quotes around it are how it was written down.

    >>> without_quotes(' "abc" '), without_quotes("“abc”"), without_quotes("it's")
    ('abc', 'abc', "it's")
    """
    value = text.strip()
    is_quoted = len(value) > 1 and value[0] + value[-1] in _QUOTES
    return value[1:-1].strip() if is_quoted else value


def one_line(text: str) -> str:
    """Line ends become blanks."""
    return " ".join(text.splitlines())


def shortened(text: str, longest: int) -> str:
    """Not longer than `longest`: it ends after a full word, with … where there was more.

    >>> shortened("connection refused by peer", 20)
    'connection refused …'
    """
    if len(text) <= longest:
        return text
    kept = text[: longest - 1]  # the blank at this end counts: the word before it is full
    words, _, _ = kept.rpartition(" ")
    return f"{words.rstrip() or kept[: longest - 2]} …"
