"""What a class of instruments does in its session, while the connection is up and heartbeats come."""

from __future__ import annotations

from enum import StrEnum


class ClassState(StrEnum):
    """`MUTE`: no instrument of the class was heard for longer than together they ever are."""

    TRADING = "trading"
    MUTE = "halted or mute"
