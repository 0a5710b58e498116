"""Runs `check.py` of a device folder in the process of the tests."""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


def runner(monkeypatch, capsys, modules: Sequence[str]) -> Callable[..., tuple[int, str]]:
    """Returns a function that runs `check.py` and returns its exit status and what it printed.

    Args:
      modules: names of the modules of the device folder, which other folders have, too.
    """

    def run(folder: Path, *flags: str, **patches) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["check.py", *flags])
        with pytest.raises(SystemExit) as ended, monkeypatch.context() as patched:
            patched.syspath_prepend(str(folder))
            for name in modules:
                patched.delitem(sys.modules, name, raising=False)
            script = importlib.import_module("check")
            for name, patch in patches.items():
                patched.setattr(script, name, patch(getattr(script, name)))
            script.main()
        return ended.value.code, "".join(capsys.readouterr())

    return run
