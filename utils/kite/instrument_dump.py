"""Fetches the broker's daily instruments dump and keeps each one: tokens are reused, so old dumps are an archive."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import requests

from utils.kite.refusals import read_broker_error, shown
from utils.market.instruments import GZIP_MAGIC, DumpContent, DumpError, Instrument, breaks_off, read_dump
from utils.market.ist import IST

TIMEOUT_SECONDS = (5.0, 60.0)  # to connect, and between two pieces of the answer
LONGEST_REASON = 400
FRESH_FROM = timedelta(hours=8, minutes=30)  # the broker makes the day's dump by then (Kite forum, staff)

_NAME = re.compile(r"instruments-(\d{4}-\d{2}-\d{2})\.csv\.gz")


@dataclass(frozen=True, slots=True)
class InstrumentDump:
    """The instruments, of which day's dump, and in `notes` what a person should know (empty: all is well)."""

    instruments: list[Instrument]
    day: date
    path: Path
    from_cache: bool
    notes: tuple[str, ...]


class _RefusedError(DumpError):
    """The broker answered, and did not give it; its sentence is what to do."""


def dump_day(at_ms: int) -> date:
    """The IST day whose dump is the current one at an instant: before 08:30 it is still yesterday's."""
    return (datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(IST) - FRESH_FROM).date()


def dump_path(directory: Path, day: date) -> Path:
    """`instruments-2026-11-20.csv.gz` in the directory."""
    return directory / f"instruments-{day.isoformat()}.csv.gz"


def load_dump(
    api_url: str,
    directory: Path,
    day: date,
    authorization: str = "",
    timeout_seconds: tuple[float, float] = TIMEOUT_SECONDS,
) -> InstrumentDump:
    """The dump of a day: from the directory when it is there, else from the broker, else the newest one kept.

    `authorization` is the whole header value (`token KEY:TOKEN`), empty for none. DumpError when the broker does not
    give one and none is kept.
    """
    path = dump_path(directory, day)
    kept = _read_kept(path)
    if kept is not None:
        return _dump(kept, path, True)
    try:
        body, content = _fetch(api_url, authorization, timeout_seconds)
    except (requests.RequestException, DumpError) as error:
        remedy = "" if isinstance(error, _RefusedError) else "check KITE_API_URL and the network"
        fault = f"{api_url}/instruments did not give the instruments ({_short(error)})"
        return _newest_kept(directory, day, fault, remedy)
    try:
        _write(path, body)
    except OSError as error:
        return _dump(
            content, path, False, f"the instruments dump could not be kept in {directory} ({error.strerror})"
        )
    return _dump(content, path, False)


def _fetch(api_url: str, authorization: str, timeout_seconds: tuple[float, float]) -> tuple[bytes, DumpContent]:
    headers = {"X-Kite-Version": "3"}
    if authorization:
        headers["Authorization"] = authorization
    answer = requests.get(f"{api_url.rstrip('/')}/instruments", headers=headers, timeout=timeout_seconds)
    if not answer.ok:
        secrets = [authorization.rpartition(":")[2], authorization]
        refusal = read_broker_error(answer.status_code, answer.content, secrets)
        raise _RefusedError(refusal.sentence) if refusal.message else DumpError(str(refusal))
    content = read_dump(answer.content)
    if not content.instruments:
        raise DumpError("the instruments dump has no usable row")
    if breaks_off(answer.content):
        raise DumpError("the instruments dump ends in the middle of a row")
    return answer.content, content


def _newest_kept(directory: Path, day: date, fault: str, remedy: str) -> InstrumentDump:
    for path in _kept_paths(directory, day):
        content = _read_kept(path)
        if content is not None:
            found = _dump(content, path, True)
            note = f"{fault}: using the dump of {found.day}, in which newer contracts are missing"
            return InstrumentDump(found.instruments, found.day, path, True, (note, *found.notes))
    raise DumpError(f"{fault}, and no earlier dump is in {directory}{remedy and ': '}{remedy}")


def _kept_paths(directory: Path, day: date) -> Iterator[Path]:
    """Those kept, the newest first, those from after the day (of which a replay knows) last."""
    paths = [path for path in directory.glob("instruments-*.csv.gz") if _NAME.fullmatch(path.name)]
    wanted = dump_path(directory, day).name
    yield from sorted(paths, key=lambda path: (path.name <= wanted, path.name), reverse=True)


def _read_kept(path: Path) -> DumpContent | None:
    try:
        content = read_dump(path.read_bytes())
    except (OSError, DumpError):
        return None
    return content if content.instruments else None


def _dump(content: DumpContent, path: Path, from_cache: bool, note: str = "") -> InstrumentDump:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not the name of a kept dump")
    notes = tuple(sentence for sentence in (note, content.skipped_sentence) if sentence)
    return InstrumentDump(content.instruments, date.fromisoformat(match[1]), path, from_cache, notes)


def _write(path: Path, body: bytes) -> None:
    """Whole or not at all: a reader never sees half a file."""
    packed = body if body[:2] == GZIP_MAGIC else gzip.compress(body, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _short(error: Exception) -> str:
    """The first line of the reason, without the object addresses that requests puts into it."""
    lines = str(error).splitlines() or [type(error).__name__]
    return shown(re.sub(r"<[^>]*>:?\s*", "", lines[0]), longest=LONGEST_REASON)
