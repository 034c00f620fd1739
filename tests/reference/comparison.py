"""The reference's closed candles against stored documents, field by field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

Key = tuple[str, str, int]
FIELDS = ("open", "high", "low", "close", "volume", "oi", "vwap", "ticks", "complete", "rev", "timed_by")
VWAP_TOLERANCE = 1e-9


def compare(
    reference: pd.DataFrame,
    documents: Iterable[Mapping[str, Any]],
    fields: Iterable[str] = FIELDS,
    document_times: tuple[str, str] = ("t", "end_t"),
) -> list[str]:
    """One readable line for each difference; an empty list when every closed candle is there, once, and equal.

    documents: flat candles as stored (`t`, `end_t` in epoch ms). fields: what must be equal besides the end of the
    bucket; leave `rev` out where it may differ. Everything is compared exactly, vwap to 1e-9 of its size.
    """
    start_field, end_field = document_times
    expected = {_key(row): row for row in _plain_rows(reference) if row["closed"]}
    differences: list[str] = []
    seen: set[Key] = set()
    for document in documents:
        key: Key = (document["symbol"], document["timeframe"], document[start_field])
        if key in seen:
            differences.append(f"{_name(key)}: stored twice")
        elif key not in expected:
            differences.append(f"{_name(key)}: extra, the reference has no such closed candle")
        else:
            pairs = [("end_ms", expected[key]["end_ms"], document.get(end_field, "absent"))]
            pairs += [(field, expected[key][field], document.get(field, "absent")) for field in fields]
            differences += [
                f"{_name(key)}: {field} should be {want!r}, is {have!r}"
                for field, want, have in pairs
                if not _are_equal(field, want, have)
            ]
        seen.add(key)
    differences += [f"{_name(key)}: missing" for key in sorted(expected.keys() - seen)]
    return differences


def _plain_rows(reference: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with None where there is nothing, and Python's own numbers."""
    plain = reference.astype(object)
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in plain.to_dict(orient="records")
    ]


def _key(row: Mapping[str, Any]) -> Key:
    return row["symbol"], row["timeframe"], row["start_ms"]


def _name(key: Key) -> str:
    start = pd.Timestamp(key[2], unit="ms", tz="Asia/Kolkata")
    return f"{key[0]} {key[1]} {start:%Y-%m-%d %H:%M:%S}"


def _are_equal(field: str, want: Any, have: Any) -> bool:
    if want is None or have is None:
        return want is have
    if isinstance(want, bool) or isinstance(have, bool):
        return want is have
    if field == "vwap":
        return isinstance(have, int | float) and math.isclose(want, have, rel_tol=VWAP_TOLERANCE, abs_tol=0.0)
    return bool(want == have)
