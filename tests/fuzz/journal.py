"""Target: the journal's readers and its writer over any file, and over valid journals that were cut and damaged."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import zstandard

from tests.fuzz.byte_reader import ByteReader
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind
from utils.journal.files import plain_path
from utils.journal.follower import JournalFollower
from utils.journal.records import HEADER_LENGTH, JournalDamage, JournalError, RecordParser, pack_header, pack_record
from utils.journal.writer import JournalWriter, last_entry_id, read_journal
from utils.market.ist import ist_date

START_MS = 1_795_146_300_000
DAY = ist_date(START_MS)
SHARD = 0
LATER = Entry(EntryId(START_MS + 3_600_000, 0), Kind.MARK, b'{"mark":"clock"}')


def check(data: bytes) -> None:
    reader = ByteReader(data)
    mode = reader.byte() % 4
    if mode == 0:
        check_file(reader.rest())
    elif mode == 1:
        check_file(pack_header(SHARD) + reader.rest())
    elif mode == 2:
        check_packed(reader.rest())
    else:
        check_damaged(reader)


def check_damaged(reader: ByteReader) -> None:
    """Valid records, some of them changed, in a file that is cut: each untouched record must be read."""
    intended: list[bytes] = []
    records: list[bytes] = []
    untouched: list[Entry] = []
    cut = reader.byte()
    while not reader.is_empty and len(records) < 40:
        entry = _entry(reader, len(records))
        intended.append(pack_record(entry))
        record, touched = _damaged(intended[-1], reader)
        records.append(record)
        if not touched:
            untouched.append(entry)
    content = pack_header(SHARD) + b"".join(records)
    if _heals(intended, records):
        check_file(content)
        return
    if cut:
        content = content[: max(0, len(content) - cut)]
        untouched = _those_before(untouched, records, len(content))
    found = check_file(content)
    assert found is None or [found_record for found_record in found if found_record in untouched] == untouched, (
        "an undamaged record is missing"
    )


def _heals(intended: list[bytes], records: list[bytes]) -> bool:
    """Whether the bytes after a torn record happen to complete it, so that the next record is the torn one."""
    rest = b"".join(records)
    for wanted, record in zip(intended, records, strict=True):
        if len(record) < len(wanted) and rest.startswith(wanted):
            return True
        rest = rest[len(record) :]
    return False


def _those_before(untouched: list[Entry], records: list[bytes], length: int) -> list[Entry]:
    ends: list[int] = []
    at = HEADER_LENGTH
    for record in records:
        at += len(record)
        ends.append(at)
    return [document for document in untouched if ends[document.id.counter] <= length]


def _entry(reader: ByteReader, number: int) -> Entry:
    kind = reader.pick(tuple(Kind))
    payload = reader.read(reader.byte() % 80)
    if reader.byte() % 8 == 7:  # a payload that contains records
        payload = pack_record(Entry(EntryId(START_MS, 999), Kind.TEXT, payload)) * 2
    return Entry(EntryId(START_MS, number), kind, payload)


def _damaged(record: bytes, reader: ByteReader) -> tuple[bytes, bool]:
    how = reader.byte() % 12
    if how == 1:
        at = reader.below(len(record))
        changed = bytearray(record)
        changed[at] ^= reader.byte() or 1
        return bytes(changed), True
    if how == 2:
        return record[: reader.below(len(record))], True
    if how == 3:
        return record[reader.below(len(record)) :], True
    if how == 4:
        return bytes(reader.byte()) + record, False
    return record, False


def check_file(content: bytes) -> list[Entry] | None:
    """All readers give the same entries, or all raise JournalError; a writer appends behind them."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = plain_path(directory, DAY, SHARD)
        path.parent.mkdir()
        path.write_bytes(content)
        try:
            damage: list[JournalDamage] = []
            found = list(read_journal(path, ZERO_ID, damage))
        except JournalError:
            found = None
        if found is None:
            _check_refused(directory, path)
            return None
        check_parser(content, found)
        assert all(
            damaged_part.offset >= 0 < damaged_part.length
            and damaged_part.offset + damaged_part.length <= len(content)
            for damaged_part in damage
        )
        assert last_entry_id(path) == (found[-1].id if found else ZERO_ID)
        if rises(found):
            _check_follower(directory, found)
            _check_writer(directory, path, found)
        return found


def rises(entries: list[Entry]) -> bool:
    """Whether a connector could have given the ids: rising, above zero, within the file's day."""
    ids = [entry.id for entry in entries]
    return (
        ids == sorted(set(ids))
        and all(entry_id > ZERO_ID and entry_id.ms < LATER.id.ms for entry_id in ids)
        and _one_day(ids)
    )


def _one_day(ids: list[EntryId]) -> bool:
    return all(entry_id.ms < 1 << 47 and ist_date(entry_id.ms) == DAY for entry_id in ids)


def _check_refused(directory: Path, path: Path) -> None:
    for attempt in (lambda: last_entry_id(path), lambda: JournalWriter(directory, SHARD)):
        try:
            attempt()
        except JournalError as error:
            assert "\n" not in str(error)
        else:
            raise AssertionError("one reader refuses the file, another does not")


def check_parser(content: bytes, found: list[Entry]) -> None:
    """The parser gives the same entries for any size of pieces."""
    body = content[HEADER_LENGTH:]
    for size in (1 + zlib.crc32(body) % 70, 1 << 20):
        parser = RecordParser()
        pieces = (body[at : at + size] for at in range(0, len(body), size))
        entries = [entry for piece in pieces for entry in parser.feed(piece)]
        entries += parser.finish()
        assert [entry for entry in entries if entry.id > ZERO_ID] == found
        assert parser.offset + len(parser.pending) == HEADER_LENGTH + len(body) or len(content) < HEADER_LENGTH


def _check_follower(directory: Path, found: list[Entry]) -> None:
    follower = JournalFollower(directory, SHARD)
    read: list[Entry] = []
    while part := follower.read(7, 200):
        read += part
    follower.close()
    assert read == found[: len(read)], "the follower gives something else"


def _check_writer(directory: Path, path: Path, found: list[Entry]) -> None:
    """After a crash the writer appends behind the last complete record, and all before it are kept."""
    writer = JournalWriter(directory, SHARD)
    assert writer.last_id == (found[-1].id if found else ZERO_ID)
    writer.append(LATER)
    writer.close()
    assert list(read_journal(path)) == [*found, LATER]


def check_packed(data: bytes) -> None:
    """A compressed file with any content gives entries or a JournalError."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"ticks-{SHARD}.journal.zst"
        path.write_bytes(data)
        try:
            found = list(read_journal(path))
            assert last_entry_id(path) == (found[-1].id if found else ZERO_ID)
        except JournalError as error:
            assert "\n" not in str(error)


def seeds() -> list[bytes]:
    entries = [
        Entry(EntryId(START_MS + n // 3, n % 3), tuple(Kind)[n % 3], bytes([n]) * (n * 7 % 60)) for n in range(12)
    ]
    body = b"".join(pack_record(entry) for entry in entries)
    content = pack_header(SHARD) + body
    plan = b"".join(bytes([n % 3, 20]) + bytes(range(20)) + bytes([n % 9, n, n * 5 % 90, n]) for n in range(14))
    return [
        b"\0" + content,
        b"\1" + body,
        b"\1" + body[:40] + b"?" + body[41:],
        b"\1" + bytes(300) + body,
        b"\2" + zstandard.compress(content),
        b"\2" + zstandard.compress(content)[:60],
        b"\3\0" + plan,
        b"\3\x30" + plan,
    ]
