"""Faults of the feed, each seeded and switched on by name. They change the packets sent, never the tape."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """Names for --faults."""

    LATE = "late"
    DISORDER = "disorder"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"
    BADPRINT = "badprint"
    CROSSED = "crossed"
    RESET = "reset"
    UNKNOWNTOKEN = "unknowntoken"


USUAL = (Fault.LATE, Fault.DUPLICATE, Fault.MALFORMED, Fault.BADPRINT, Fault.CROSSED)


def parse_faults(text: str) -> frozenset[Fault]:
    """`late,duplicate`, `all`, `none` or `usual`. ValueError: an unknown name."""
    named = {"all": tuple(Fault), "usual": USUAL, "none": (), "": ()}
    if text in named:
        return frozenset(named[text])
    chosen = set()
    for name in (piece.strip() for piece in text.split(",")):
        if name not in set(Fault):
            raise ValueError(f"{name!r} is no fault: choose from {', '.join(Fault)}, or all, usual, none")
        chosen.add(Fault(name))
    return frozenset(chosen)
