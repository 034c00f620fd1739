"""Arrays through a snapshot and back, to the bit, whatever they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from utils.indicators.kernels import STATE_DTYPE
from utils.indicators.snapshot import SnapshotError, pack, unpack

SEED = 20261120
DTYPES = [STATE_DTYPE, np.dtype(np.float64), np.dtype(np.int64)]


def closes(rows: int, decimals: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(SEED)
    return np.round(rng.uniform(0.01, 90_000, (rows, 1)) * (1 + rng.normal(0, 0.001, (rows, 200))), decimals)


def _any_bits() -> NDArray[np.float64]:
    return np.random.default_rng(SEED).integers(0, 2**64, (300, 11), dtype=np.uint64).view(np.float64)


def _hundredths_and_others() -> NDArray[np.float64]:
    """Row by row what is whole, and what is not for one value only."""
    table = closes(64, 2)
    others = [-0.0, np.nan, np.inf, -np.inf, 0.1 + 0.2, 21_474_836.48, -21_474_836.49, 1e300, 5e-324, 0.005, 1e16]
    for row, value in enumerate(others):
        table[3 * row, 7 * row] = value
    table[50:52] = [[-21_474_836.48], [21_474_836.47]]  # the largest that fit
    return table


TABLES: dict[str, NDArray[Any]] = {
    "closes in paise": closes(300, 2),
    "closes in finer units": closes(300, 4),
    "any bits": _any_bits(),
    "some of each": _hundredths_and_others(),
    "nothing but zeros": np.zeros((9, 200)),
    "every other row": closes(40, 2)[::2],
    "every other column": closes(40, 2)[:, ::2],
    "no rows": np.zeros((0, 200)),
    "no columns": np.zeros((5, 0)),
    "one dimension": np.arange(7) / 100,
    "integers": np.arange(12).reshape(3, 4),
    "states": np.zeros(5, dtype=STATE_DTYPE),
}


@pytest.mark.parametrize("name", TABLES)
def test_it_comes_back_to_the_bit(name: str) -> None:
    header, (again, after) = unpack(pack({"any": [name]}, [TABLES[name], np.arange(3)]), DTYPES)
    assert header == {"any": [name]}
    assert (again.dtype, again.shape) == (TABLES[name].dtype, TABLES[name].shape)
    assert again.tobytes() == TABLES[name].tobytes()
    np.testing.assert_array_equal(after, np.arange(3))


def test_closes_in_paise_take_a_third() -> None:
    paise, finer = closes(300, 2), closes(300, 7)
    assert len(pack({}, [paise])) < paise.nbytes / 3
    assert len(pack({}, [finer])) > finer.nbytes / 2


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_what_was_cut_off_is_refused(kept: float) -> None:
    packed = pack({}, [closes(30, 2), _any_bits()])
    with pytest.raises(SnapshotError):
        unpack(packed[: int(kept * len(packed))], DTYPES)


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(SnapshotError):
        unpack(pack({}, [np.zeros(3, dtype=np.int16)]), DTYPES)
