"""Where the journal's files are, and what becomes of them: one folder a day (IST), compressed once it is over."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import IO

import zstandard

from utils.journal.entries import Topic

_CHUNK = 1 << 20
PLAIN, COMPRESSED = ".journal", ".journal.zst"


def journal_days(directory: Path) -> list[date]:
    """The days that have a folder, the earliest first."""
    days = (_day_named(path.name) for path in directory.glob("????-??-??") if path.is_dir())
    return sorted(day for day in days if day is not None)


def plain_path(directory: Path, day: date, shard: int, topic: Topic = Topic.TICKS) -> Path:
    """The file that is written to during the day: `2026-11-20/ticks-0.journal`."""
    return directory / day.isoformat() / f"{topic}-{shard}{PLAIN}"


def journal_path(directory: Path, day: date, shard: int, topic: Topic = Topic.TICKS) -> Path | None:
    """The shard's file of the day, compressed or not; None when there is none."""
    plain = plain_path(directory, day, shard, topic)
    packed = plain.with_suffix(COMPRESSED)
    # The plain one goes first: it is deleted only after the compressed one is whole.
    return next((path for path in (plain, packed) if path.exists()), None)


def journal_shards(directory: Path, day: date) -> list[int]:
    """The shards that have a file of the day, in order."""
    names = (path.name for path in (directory / day.isoformat()).glob("ticks-*.journal*"))
    numbers = {name.removeprefix("ticks-").partition(".")[0] for name in names if name.endswith((PLAIN, COMPRESSED))}
    return sorted(int(number) for number in numbers if number.isdigit())


def is_compressed(path: Path) -> bool:
    return path.name.endswith(COMPRESSED)


def compress_finished_days(directory: Path, today: date) -> Iterator[Path]:
    """Compresses (zstd) each plain file of a day before `today`, and yields each new file.

    The plain file is deleted only when the compressed one is on disk and reads back as the same bytes. Call it where
    a wait does no harm: a large day takes some seconds. One that fails keeps no other from it: the first OSError is
    raised at the end.
    """
    errors: list[OSError] = []
    for day in journal_days(directory):
        for plain in _files(directory / day.isoformat(), PLAIN) if day < today else ():
            try:
                packed = _compress(plain)
            except OSError as error:
                errors.append(error)
            else:
                yield packed
    if errors:
        raise errors[0]


def drop_old_days(directory: Path, today: date, keep_days: int) -> list[date]:
    """Deletes the journal files of the days before the last `keep_days` days; returns those days.

    Other files are left alone, and so is a folder that holds any. OSError: the disk failed.
    """
    dropped = [day for day in journal_days(directory) if day < today - timedelta(days=keep_days)]
    for day in dropped:
        folder = directory / day.isoformat()
        for path in _files(folder, f"{PLAIN}*"):
            path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    return dropped


def open_compressed(path: Path) -> IO[bytes]:
    """The uncompressed bytes of a `.journal.zst`."""
    reader: IO[bytes] = zstandard.open(path, "rb")
    return reader


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path, ending: str) -> list[Path]:
    """Of all topics, by name."""
    return sorted(path for topic in Topic for path in folder.glob(f"{topic}-*{ending}"))


def _day_named(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _compress(plain: Path) -> Path:
    packed = plain.with_suffix(COMPRESSED)
    partial = packed.with_name(f".{packed.name}.partial")
    with plain.open("rb") as source, partial.open("wb") as target:
        zstandard.ZstdCompressor(level=6).copy_stream(source, target, read_size=_CHUNK)
        target.flush()
        os.fsync(target.fileno())
    with plain.open("rb") as original, open_compressed(partial) as copy:
        if _fingerprint(original) != _fingerprint(copy):
            raise OSError(f"{partial} does not read back as {plain}: is the disk failing?")
    partial.replace(packed)
    sync_directory(packed.parent)
    plain.unlink()
    return packed


def _fingerprint(stream: IO[bytes]) -> tuple[int, int]:
    """Length and crc32 of what a stream gives."""
    length = crc = 0
    while chunk := stream.read(_CHUNK):
        length += len(chunk)
        crc = zlib.crc32(chunk, crc)
    return length, crc
