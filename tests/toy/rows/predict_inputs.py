from pathlib import Path


def as_given(values):
    return [Path(values)] if isinstance(values, str | Path) else [Path(value) for value in values]
