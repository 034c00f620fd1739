"""`manage.py` in the test's own process: the same code, prints and exit codes, without starting Python each time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from click.testing import CliRunner

from manage import main


def manage_here(
    arguments: Sequence[str], directory: Path, environment: Mapping[str, str], pasted: str = ""
) -> CompletedProcess[str]:
    """As `python manage.py …` in that folder, with that environment and nothing else of this process'.

    What would be a traceback there is raised here.
    """
    with chdir(directory), patch.dict(os.environ, environment, clear=True):
        found = CliRunner().invoke(main, list(arguments), input=pasted, prog_name="manage.py")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return CompletedProcess(arguments, found.exit_code, found.stdout, found.stderr)
