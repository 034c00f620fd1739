"""The journal's written form, without any I/O: a header, then one record an entry.

Header (12 bytes): magic `CWJOURNL`, u16 version, u16 shard. Record: marker `C5 D1 4A`, kind (one byte: `f` `t` `m`),
u32 payload length, u64 ms, u32 counter, u32 crc32 of what stands before it and of the payload; then the payload.
All big-endian. The marker is what a reader looks for to find the next whole record behind a damaged one.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, gap_mark

MAGIC = b"CWJOURNL"
VERSION = 1
MARKER = b"\xc5\xd1\x4a"
LONGEST_PAYLOAD = 1 << 24  # a frame of 3000 full packets has 558 kB; more than this is a damaged length

_HEADER = struct.Struct(">8sHH")
_FIELDS = struct.Struct(">3scIQI")
_CRC = struct.Struct(">I")
HEADER_LENGTH = _HEADER.size
RECORD_OVERHEAD = _FIELDS.size + _CRC.size

_KIND_BYTES = {kind: kind.value.encode() for kind in Kind}
_KINDS = {raw: kind for kind, raw in _KIND_BYTES.items()}


class JournalError(ValueError):
    """A file that is no journal of ours; one sentence names it."""


@dataclass(frozen=True, slots=True)
class JournalDamage:
    """Bytes in the middle of a journal that are no record: the records around them were read."""

    offset: int
    length: int


def pack_header(shard: int) -> bytes:
    return _HEADER.pack(MAGIC, VERSION, shard)


def check_header(header: bytes, name: str) -> None:
    """JournalError unless these are the first HEADER_LENGTH bytes of a journal that this version can read."""
    magic, version, _shard = _HEADER.unpack(header)
    if magic != MAGIC:
        raise JournalError(f"{name} is no journal: it begins with {header[:8]!r}")
    if version != VERSION:
        raise JournalError(f"{name} is a journal of version {version}, and this program reads version {VERSION}")


def pack_record(entry: Entry) -> bytes:
    fields = _FIELDS.pack(MARKER, _KIND_BYTES[entry.kind], len(entry.payload), entry.id.ms, entry.id.counter)
    crc = zlib.crc32(entry.payload, zlib.crc32(fields))
    return b"".join((fields, _CRC.pack(crc), entry.payload))


class RecordParser:
    """Bytes in, entries out. `offset` is where in the file the first byte not yet consumed stands.

    `feed` leaves an unfinished record for later; `finish` marks that nothing follows, and looks for whole records
    behind what cannot be read. What is left in `pending` after that is a torn tail. In what pieces the bytes come
    makes no difference. Where records are missing the entries have a `gap` mark, with the id just below the next one.
    """

    def __init__(self, offset: int = HEADER_LENGTH) -> None:
        self.offset = offset
        self.pending = b""
        self.damage: list[JournalDamage] = []
        self._last_id = ZERO_ID  # of the entries given so far
        self._searched = 0  # behind damage no record begins in `pending` before this

    def forget_pending(self) -> None:
        """The bytes from `offset` on will be fed again."""
        self.pending, self._searched = b"", 0

    def feed(self, data: bytes) -> list[Entry]:
        self.pending += data
        entries: list[Entry] = []
        at = self._take_whole(0, entries)
        while self._is_unreadable(at) and (later := self._next_decided(at)) is not None:
            at = self._skip_damage(at, later, entries)
        self._consume(at)
        return entries

    def finish(self) -> list[Entry]:
        entries: list[Entry] = []
        at = 0
        while (later := self._next_whole(at)) is not None:
            at = self._skip_damage(at, later, entries)
        self._consume(at)
        return entries

    def skip_to_whole(self) -> bool:
        """Drops what stands before the first whole record, as a reader must that began anywhere. False: none yet."""
        at = 0 if _record_at(self.pending, 0) is not None else self._next_whole(0)
        if at is None:
            return False
        self._consume(at)
        return True

    def _take_whole(self, at: int, entries: list[Entry]) -> int:
        """Appends the records that follow each other from `at`; returns where they end."""
        while (record := _record_at(self.pending, at)) is not None:
            entries.append(record)
            self._last_id = record.id
            at += RECORD_OVERHEAD + len(record.payload)
        return at

    def _skip_damage(self, at: int, later: int, entries: list[Entry]) -> int:
        """On from `later`, where a record begins that can be read."""
        self.damage.append(JournalDamage(self.offset + at, later - at))
        before, count = self._last_id, len(entries)
        at = self._take_whole(later, entries)
        gap_id = entries[count].id.before()
        if gap_id > before:  # else there is no room for an entry: nothing is missing
            entries.insert(count, Entry(gap_id, Kind.MARK, gap_mark(self.damage[-1].length)))
        return at

    def _is_unreadable(self, at: int) -> bool:
        """Whether what stands at `at` will not become a record, however many bytes follow."""
        if len(self.pending) - at < RECORD_OVERHEAD:
            return False
        length = _length_at(self.pending, at)
        return length is None or len(self.pending) - at >= RECORD_OVERHEAD + length

    def _next_whole(self, at: int) -> int | None:
        """Where the first whole record after `at` begins."""
        later = self.pending.find(MARKER, at + 1)
        while later >= 0 and _record_at(self.pending, later) is None:
            later = self.pending.find(MARKER, later + 1)
        return later if later >= 0 else None

    def _next_decided(self, at: int) -> int | None:
        """The same, but None when something before it may become a record yet: its payload may look like records."""
        later = self.pending.find(MARKER, max(at + 1, self._searched))
        while later >= 0 and _record_at(self.pending, later) is None:
            self._searched = later
            if not self._is_unreadable(later):
                return None
            later = self.pending.find(MARKER, later + 1)
        self._searched = later if later >= 0 else max(0, len(self.pending) - len(MARKER) + 1)
        return later if later >= 0 else None

    def _consume(self, count: int) -> None:
        self.offset += count
        self.pending = self.pending[count:]
        self._searched = max(0, self._searched - count)


def _length_at(data: bytes, at: int) -> int | None:
    """The payload length that the record at `at` claims; None when no record begins there."""
    marker, kind, length, _ms, _counter = _FIELDS.unpack_from(data, at)
    return length if marker == MARKER and kind in _KINDS and length <= LONGEST_PAYLOAD else None


def _record_at(data: bytes, at: int) -> Entry | None:
    """The whole and undamaged record at `at`, if there is one."""
    body = at + RECORD_OVERHEAD
    if len(data) < body:
        return None
    marker, kind, length, ms, counter = _FIELDS.unpack_from(data, at)
    end = body + length
    if marker != MARKER or kind not in _KINDS or length > LONGEST_PAYLOAD or len(data) < end:
        return None
    fields_end = at + _FIELDS.size
    payload = data[body:end]
    (crc,) = _CRC.unpack_from(data, fields_end)
    if zlib.crc32(payload, zlib.crc32(data[at:fields_end])) != crc:
        return None
    return Entry(EntryId(ms, counter), _KINDS[kind], payload)
