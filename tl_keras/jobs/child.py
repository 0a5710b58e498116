"""Starts `tl-keras` in a child process."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def start(
    arguments: Sequence[str], log: TextIO, environment: Mapping[str, str]
) -> subprocess.Popen:
    """Starts `tl-keras ARGUMENTS` in a child process.

    The child has the import path of its parent, without the current folder: there, a file such as
    `random.py` would replace a module of Python. Packages of `pip --user` and PYTHONPATH are found.

    Args:
      log: the file that receives stdout and stderr of the child.
      environment: variables to set in addition to those of this process.
    """
    # -P and PYTHONSAFEPATH keep the current folder off the path of the child and of its children.
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
    """Returns `sys.path` without the current folder and with the folder of this package."""
    here = os.path.realpath(os.getcwd())
    entries: list[Any] = [*sys.path]  # Programs also put paths of other types there.
    kept = [
        entry
        for entry in entries
        if isinstance(entry, str) and os.path.isabs(entry) and os.path.realpath(entry) != here
    ]
    # Last, so that it shadows nothing: in a checkout it may be the current folder.
    return kept if str(PACKAGE_ROOT) in kept else [*kept, str(PACKAGE_ROOT)]
