"""Limits on the size of tables, which are held in memory as a whole."""

from pathlib import Path

MAX_BYTES = 512 << 20
MAX_ROWS = 2_000_000
ADVICE = "take a sample of its rows, or write each example to a file of its own in class folders"


def check_size(file: Path, size: int) -> None:
    """Raises ValueError if a table file is larger than `MAX_BYTES`."""
    if size > MAX_BYTES:
        raise ValueError(
            f"{str(file)!r} has {size / (1 << 20):,.0f} MiB; expected a table of at most "
            f"{MAX_BYTES >> 20} MiB and {MAX_ROWS:,} rows, because tables are held in memory; "
            f"{ADVICE}"
        )


def check_rows(file: Path, count: int, columns: list[str]) -> None:
    """Raises ValueError if a table has more than `MAX_ROWS` rows. Tables of paths have no limit."""
    if count > MAX_ROWS and "path" not in columns:
        raise ValueError(
            f"{str(file)!r} has more than {MAX_ROWS:,} rows; expected at most {MAX_ROWS:,} rows "
            f"and {MAX_BYTES >> 20} MiB, because tables are held in memory; {ADVICE}"
        )
