"""Runs that a test makes for itself cost less."""

import pytest
from matplotlib.figure import Figure


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Charts are made and not drawn, which takes a tenth of a small run. Fixtures draw theirs."""
    empty = '<svg viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(Figure, "savefig", lambda _, file, **how: file.write(empty))
