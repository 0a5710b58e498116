"""Says what is wrong with a file that is not CSV in UTF-8, and how to save it."""

import csv
from collections.abc import Sequence
from pathlib import Path

SAVE = "save it as CSV UTF-8"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
OTHER_QUOTES = "'‘’“”„«»`"  # Quotes that CSV does not know.
STARTS = {
    b"\xff\xfe": "it is in UTF-16",
    b"\xfe\xff": "it is in UTF-16",
    b"PK": "it is an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "it is an Excel workbook",
    b"\x1f\x8b": "it is compressed with gzip; unpack it first",
    b"PAR1": "it is a Parquet file",
}


def check_header(file: Path, header: Sequence[str]) -> None:
    """Raises ValueError if the first row of a file is not text."""
    if "\0" in "".join(header):
        if of_start := _start(file):
            raise ValueError(f"{str(file)!r} is not a CSV file in UTF-8: {of_start}; {SAVE}")
        raise ValueError(
            f"{str(file)!r} is not a CSV file in UTF-8: its header has null bytes, as in UTF-16 or "
            f"in a binary file; {SAVE}"
        )


def separator(columns: Sequence[str]) -> str:
    """Returns the character that separates the cells of a header instead of a comma, or ""."""
    if len(columns) != 1:
        return ""
    return next((mark for mark in SEPARATORS if mark in columns[0]), "")


def how_to_separate(file: Path, columns: Sequence[str]) -> str:
    """Returns the end of a message: how to save a file with commas; "" if it has commas."""
    marks = [mark for mark in SEPARATORS if any(mark in name for name in columns)]
    if not marks:
        return ""
    new = file.with_name(f"{file.stem}_commas.csv")
    code = (
        f"import csv; csv.writer(open({str(new)!r}, 'w', encoding='utf-8', newline=''))"
        f".writerows(csv.reader(open({str(file)!r}, encoding='utf-8-sig', newline=''), "
        f"delimiter={marks[0]!r}))"
    )
    return (
        f"; separate columns by commas instead of {marks[0]!r} ({SEPARATORS[marks[0]]}): save the "
        f'table as CSV UTF-8 with commas, or convert it with: python -c "{code}"'
    )


def refuse_more_cells(file: Path, row: Sequence[str], number: int, line: int) -> None:
    """Raises ValueError for a row that has more cells than the header."""
    where = f"row {number}" + (f" (line {line})" if line != number else "")
    quoted = [cell.strip()[0] for cell in row if cell.strip()[:1] in tuple(OTHER_QUOTES)]
    advice = "put quotes around cells that contain a comma"
    if quoted:
        advice += f'; expected the quote ", as in "a, b"; received {quoted[0]}'
    raise ValueError(f"{str(file)!r}, {where} has more cells than the header; {advice}")


def of_encoding(file: Path) -> ValueError:
    """Returns the error for a file that is not UTF-8."""
    what, advice = _start(file) or _null_bytes(file), SAVE
    if not what:
        number, error = _first_not_utf8(file)
        byte = error.object[error.start : error.start + 1]
        as_latin = byte.decode("cp1252", "replace")
        what = f"line {number} has the byte {byte[0]:#04x}"
        if as_latin.isprintable() and as_latin != "\ufffd":
            what += f", which is {as_latin!r} in Latin-1 and Windows-1252"
            new = file.with_name(f"{file.stem}_utf8{file.suffix}")
            code = (
                f"open({str(new)!r}, 'w', encoding='utf-8', newline='')"
                f".write(open({str(file)!r}, encoding='cp1252', newline='').read())"
            )
            advice += f', or, if it is in Windows-1252, convert it with: python -c "{code}"'
    return ValueError(f"{str(file)!r} is not a CSV file in UTF-8: {what}; {advice}")


def of_quotes(file: Path, error: csv.Error, number: int, line: int) -> ValueError:
    """Returns the error for a row whose quotes are wrong.

    Args:
      number: the number of the row.
      line: the number of the line where the row begins.
    """
    where = f"row {number}" + (f" (line {line})" if line != number else "")
    if "unexpected end" in str(error):
        what = f'{where} has an opening quote " without a closing one'
    elif _has_backslash_quote(file, line):
        what = f'{where} has \\" inside a cell in quotes'
    elif "expected after" in str(error):
        what = f'{where} has a quote " inside a cell in quotes'
    else:
        what = f"{where}: {error}"
    return ValueError(
        f"{str(file)!r} is not a CSV file in UTF-8: {what}; {SAVE}, in which a cell with a comma, "
        'a quote or a line break is in quotes, and each quote inside it is written twice: ""'
    )


def _has_backslash_quote(file: Path, line: int) -> bool:
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        return any(number >= line and '\\"' in text for number, text in enumerate(stream, start=1))


def _start(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(4)
    return next((what for first, what in STARTS.items() if start.startswith(first)), "")


def _null_bytes(file: Path) -> str:
    """Returns that a file is no text in an encoding of single bytes; "" if it may be one."""
    with file.open("rb") as stream:
        start = stream.read(512)
    return "it has null bytes, as in UTF-16 or in a binary file" if b"\0" in start else ""


def _first_not_utf8(file: Path) -> tuple[int, UnicodeDecodeError]:
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return number, error
    raise AssertionError(f"{file} is UTF-8")  # A caller has found that it is not.
