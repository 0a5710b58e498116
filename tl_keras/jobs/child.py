"""Starts `tl-keras` in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def start(
    arguments: Sequence[str], log: TextIO, environment: Mapping[str, str]
) -> subprocess.Popen:
    """Starts `tl-keras ARGUMENTS` in a process of its own.

    The child imports from where its parent does, except from the current folder: a `random.py` that
    lies there must not run in place of Python's own. Installs by `pip --user` and PYTHONPATH work.

    Args:
      log: takes the child's stdout and stderr.
      environment: variables to set beside those of this process.
    """
    # -P: Python itself adds the current folder to no child of the child either.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tl_keras", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(import_path()),
            "PYTHONSAFEPATH": "1",
            **environment,
        },
    )


def import_path() -> list[str]:
    """`sys.path` without the current folder, and with the folder of this package."""
    here = os.path.realpath(os.getcwd())
    kept = [
        entry
        for entry in sys.path
        if isinstance(entry, str) and os.path.isabs(entry) and os.path.realpath(entry) != here
    ]
    # Last, where it shadows nothing: in a checkout it may be the current folder.
    return kept if str(PACKAGE_ROOT) in kept else [*kept, str(PACKAGE_ROOT)]
