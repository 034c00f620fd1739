"""The journal's written form, cut and damaged at every byte."""

import struct
import zlib

import pytest

from utils.journal.entries import Entry, EntryId, Kind, gap_mark
from utils.journal.records import (
    HEADER_LENGTH,
    RECORD_OVERHEAD,
    JournalError,
    RecordParser,
    check_header,
    pack_header,
    pack_record,
)

ENTRIES = [
    Entry(EntryId(1_795_000_000_000, 0), Kind.FRAME, b"\x00"),
    Entry(EntryId(1_795_000_000_000, 1), Kind.TEXT, '{"type":"message","data":"₹"}'.encode()),
    Entry(EntryId(1_795_000_000_001, 0), Kind.MARK, b""),
    Entry(EntryId(1_795_000_000_900, 4_000_000_000), Kind.FRAME, b"\xc5\xd1\x4af" + bytes(range(60))),
]
RECORDS = [pack_record(entry) for entry in ENTRIES]
WHOLE = b"".join(RECORDS)
ENDS = [sum(len(record) for record in RECORDS[: count + 1]) for count in range(len(RECORDS))]


def parse_all(data: bytes) -> tuple[list[Entry], RecordParser]:
    parser = RecordParser()
    return parser.feed(data) + parser.finish(), parser


def test_the_layout_is_the_documented_one() -> None:
    entry = ENTRIES[1]
    head = struct.pack(">BBBcIQI", 0xC5, 0xD1, 0x4A, b"t", len(entry.payload), entry.id.ms, entry.id.counter)
    crc = struct.pack(">I", zlib.crc32(head + entry.payload))
    assert pack_record(entry) == head + crc + entry.payload
    assert len(head + crc) == RECORD_OVERHEAD
    assert pack_header(2) == b"CWJOURNL\x00\x01\x00\x02"
    assert len(pack_header(2)) == HEADER_LENGTH


def gap_before(entry: Entry, damaged_bytes: int) -> Entry:
    """What stands in the place of so many bytes that cannot be read."""
    ms, counter = entry.id
    below = EntryId(ms, counter - 1) if counter else EntryId(ms - 1, 4_294_967_295)
    return Entry(below, Kind.MARK, gap_mark(damaged_bytes))


def test_what_was_packed_is_parsed() -> None:
    entries, parser = parse_all(WHOLE)
    assert entries == ENTRIES
    assert (parser.pending, parser.damage, parser.offset) == (b"", [], HEADER_LENGTH + len(WHOLE))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 24, 25, 61])
def test_the_size_of_the_pieces_makes_no_difference(size: int) -> None:
    parser = RecordParser()
    pieces = (WHOLE[at : at + size] for at in range(0, len(WHOLE), size))
    assert [entry for piece in pieces for entry in parser.feed(piece)] == ENTRIES


def test_cut_at_every_byte_the_whole_records_before_the_cut_are_read() -> None:
    for cut in range(len(WHOLE) + 1):
        entries, parser = parse_all(WHOLE[:cut])
        whole = sum(end <= cut for end in ENDS)
        assert entries == ENTRIES[:whole], cut
        assert parser.damage == [], cut
        assert parser.offset == HEADER_LENGTH + ([0, *ENDS][whole]), cut


def test_a_damaged_byte_costs_one_record_and_is_shown() -> None:
    for at in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[at] ^= 0x40
        hit = sum(end <= at for end in ENDS)
        entries, parser = parse_all(bytes(data))
        gaps = [gap_before(ENTRIES[hit + 1], len(RECORDS[hit]))] if hit < len(ENTRIES) - 1 else []
        assert entries == ENTRIES[:hit] + gaps + ENTRIES[hit + 1 :], at
        if hit < len(ENTRIES) - 1:
            start = [0, *ENDS][hit]
            assert [(damage.offset, damage.length) for damage in parser.damage] == [
                (HEADER_LENGTH + start, len(RECORDS[hit]))
            ], at


def test_zeros_behind_the_last_record_are_a_torn_tail() -> None:
    entries, parser = parse_all(WHOLE + bytes(5000))
    assert entries == ENTRIES
    assert parser.offset == HEADER_LENGTH + len(WHOLE)
    assert parser.damage == []


def test_a_reader_that_begins_anywhere_finds_the_next_whole_record() -> None:
    for start in range(len(WHOLE)):
        parser = RecordParser(start)
        parser.pending = WHOLE[start:]
        first = sum(begin < start for begin in [0, *ENDS[:-1]])
        assert parser.skip_to_whole() is (first < len(ENTRIES)), start
        if first < len(ENTRIES):
            assert parser.offset == [0, *ENDS][first], start
            assert parser.feed(b"") == ENTRIES[first:], start


@pytest.mark.parametrize("header", [b"NOTOURS!\x00\x01\x00\x00", b"CWJOURNL\x00\x09\x00\x00"])
def test_another_file_is_refused_by_name(header: bytes) -> None:
    with pytest.raises(JournalError, match=r"ticks-0\.journal"):
        check_header(header, "ticks-0.journal")


def test_a_payload_that_looks_like_records_is_not_read_for_them_behind_damage() -> None:
    """In whatever pieces it comes: the inner record is whole before the outer one is."""
    inner = pack_record(Entry(EntryId(1, 1), Kind.MARK, b'{"mark":"up"}'))
    outer = Entry(EntryId(1_795_000_000_001, 7), Kind.FRAME, b"\0" + inner * 3)
    content = RECORDS[0] + b"??" + RECORDS[1][2:] + pack_record(outer) + RECORDS[3]
    for size in range(1, 100):
        parser = RecordParser()
        found = [entry for at in range(0, len(content), size) for entry in parser.feed(content[at : at + size])]
        gap = gap_before(outer, len(RECORDS[1]))
        assert found + parser.finish() == [ENTRIES[0], gap, outer, ENTRIES[3]], size
