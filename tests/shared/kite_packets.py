"""The broker's packets as numpy records with the named fields of utils/kite/frames.py."""

from __future__ import annotations

import numpy as np

from utils.kite.frames import LAYOUT_BY_LENGTH


def read_packet(packet: bytes) -> np.void:
    """One packet as a numpy record with the named fields of its layout. ValueError for an unknown length."""
    layout = LAYOUT_BY_LENGTH.get(len(packet))
    if layout is None:
        raise ValueError(f"a packet of {len(packet)} bytes: Kite sends 8, 28, 32, 44 or 184")
    record: np.void = np.frombuffer(packet, dtype=layout)[0]
    return record
