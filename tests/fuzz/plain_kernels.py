"""The kernels as plain Python: a fuzzer sees which of their branches an input takes.

Import this before anything of utils.candles, with NUMBA_DISABLE_JIT=1 in the environment. Inside a kernel numba gives
a record's fields as attributes; numpy does so only for records of this type.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from utils.candles.kernels import layout


class _Record(np.record):  # type: ignore[misc]
    """numpy's record, with fields before numpy's attributes of the same name (`base`)."""

    def __getattribute__(self, name: str) -> Any:
        names = np.void.__getattribute__(self, "dtype").names
        return self[name] if names and name in names else super().__getattribute__(name)


def _with_attributes(plain: np.dtype[np.void]) -> np.dtype[np.void]:
    return np.dtype((_Record, plain))


if not numba.config.DISABLE_JIT:
    raise ImportError("set NUMBA_DISABLE_JIT=1 before the first import")

np.seterr(all="ignore")  # as in compiled code, which wraps and divides silently
for _name in ("INSTRUMENT", "CANDLE", "PACKET", "FEED", "EVENT_HEAD", "REJECTION"):
    setattr(layout, _name, _with_attributes(getattr(layout, _name)))
