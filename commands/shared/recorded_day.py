"""Where a recorded day's journal is; one sentence when it is nowhere."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from commands.shared.journal_feed import JournalFile
from utils.journal.files import journal_days, journal_path, journal_shards


def recorded_files(directory: Path, day: date) -> list[JournalFile]:
    """Each shard's file of the day. ClickException when there is none."""
    paths = {shard: journal_path(directory, day, shard) for shard in journal_shards(directory, day)}
    files = [JournalFile(shard, path) for shard, path in paths.items() if path is not None]
    if not files:
        held = journal_days(directory)
        what = f"it holds {held[0]} to {held[-1]}" if held else "it holds no day at all"
        raise click.ClickException(f"JOURNAL_DIR: {directory} has no journal of {day}; {what}.")
    return files
