"""One target under atheris, in a process of its own: `python -m tests.fuzz.guided TARGET [libFuzzer options]`.

The runner (`python -m tests.fuzz`) sets NUMBA_DISABLE_JIT=1, with which the kernels guide the fuzzer.
"""

from __future__ import annotations

import importlib
import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

from tests.fuzz.targets import load


def main() -> None:
    name = sys.argv[1]
    with atheris.instrument_imports(include=["utils"]):
        importlib.import_module("tests.fuzz.plain_kernels")
        target = load(name)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
