"""The file that carries the day's access token to the running connector."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def store_token(path: Path, token: str) -> None:
    """Writes the token for its owner only (0600), all at once: a reader sees the old one or the new one whole.

    OSError when the folder can not be made or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
