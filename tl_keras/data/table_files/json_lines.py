"""Reads JSON lines: a file with one JSON object on each line, such as {"text": "..."}."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tl_keras.data.table_files import limits

EXPECTED = 'expected JSON lines: one object on each line, such as {"text": "...", "label": "..."}'
MAX_BAD_SHARE = 0.5
SURROGATE = re.compile("[\ud800-\udfff]")

Parts = tuple[
    list[str], dict[str, list[str]], list[int], dict[str, set[int]], list[tuple[int, str]]
]


def read(file: Path) -> Parts:
    """Returns columns, cells, numbers, nested and bad, as in `table.Table`.

    Lines that are not JSON objects are in `bad`. Empty lines are left out.

    Raises:
      ValueError: most lines are bad, or there are too many lines.
    """
    numbers, rows, bad = [], [], []
    nested: dict[str, set[int]] = defaultdict(set)
    columns: dict[str, None] = {}
    shared: dict[str, str] = {}
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                values = _object(line, number)
            except ValueError as error:
                bad.append((number, str(error)))
                continue
            if values is None:
                continue
            row = {}
            for name, value in values.items():
                name = shared.setdefault(name, name)
                columns.setdefault(name)
                if isinstance(value, list | dict):
                    nested[name].add(number)
                text = _as_text(value)
                row[name] = shared.setdefault(text, text) if len(text) < 30 else text
            numbers.append(number)
            rows.append(row)
            limits.check_rows(file, len(rows), list(columns))
    _refuse_mostly_bad(file, bad, len(rows))
    cells = {name: [row.get(name, "") for row in rows] for name in columns}
    return list(columns), cells, numbers, dict(nested), bad


def _object(line: bytes, number: int) -> dict[str, Any] | None:
    """Returns the object on a line, with keys in lower case; None if the line is empty.

    Raises:
      ValueError: the line is not an object in JSON, or has a key twice. The message says why.
    """
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"not UTF-8: byte {error.object[error.start]:#04x} at position {error.start + 1}"
        ) from None
    if not text.strip():
        return None
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: too many brackets inside each other") from None
    except ValueError:  # Python's limit on the digits of a number.
        raise ValueError("not JSON that can be read: a number has too many digits") from None
    if not isinstance(values, dict):
        raise ValueError(f"not a JSON object, but a {type(values).__name__}")
    if SURROGATE.search("".join([*values, *map(_as_text, values.values())])):
        raise ValueError("has half a character (a lone surrogate), which is not Unicode text")
    named = {name.strip().lower(): value for name, value in values.items()}
    if len(named) < len(values):
        twice = Counter(name.strip().lower() for name in values).most_common(1)[0][0]
        raise ValueError(f"has the key {twice!r} twice; capital letters make no difference")
    return named


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _refuse_mostly_bad(file: Path, bad: list[tuple[int, str]], good: int) -> None:
    if len(bad) <= MAX_BAD_SHARE * (len(bad) + good):
        return
    with file.open("rb") as stream:
        start = stream.read(200)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        what = "is in UTF-16; save it as UTF-8"
    elif start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        what = f"is one JSON array; {EXPECTED}; {_conversion(file)}"
    else:
        number, reason = bad[0]
        what = f"has {len(bad)} bad lines of {len(bad) + good}; line {number}: {reason}; {EXPECTED}"
    raise ValueError(f"{str(file)!r} {what}")


def _conversion(file: Path) -> str:
    code = (
        f"import json; rows = json.load(open({str(file)!r}, encoding='utf-8-sig')); "
        f"open({str(file.with_suffix('.jsonl'))!r}, 'w', encoding='utf-8')"
        r".writelines(json.dumps(row) + '\n' for row in rows)"
    )
    return f'convert it with: python -c "{code}"'
