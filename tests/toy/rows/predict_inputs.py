from pathlib import Path

ON_COMMAND_LINE = "files of rows, or folders"


def as_given(values):
    return [Path(values)] if isinstance(values, str | Path) else [Path(value) for value in values]
