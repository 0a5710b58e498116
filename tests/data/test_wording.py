"""Examples of tables are counted as rows or lines, all others as files."""

import pytest

from tl_keras.config.data import DataConfig
from tl_keras.data import problems
from tl_keras.data.examples import Quarantined
from tl_keras.data.wording import count_of_examples, left_out


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a.png"], "1 file"),
        (["a.png", "row 3.txt"], "2 files"),
        (["row 3"], "1 row"),
        (["/x/new.csv/row 3", "/x/new.csv/row 44"], "2 rows"),
        (["line 3", "C:\\x.jsonl\\line 5"], "2 lines"),
        (["row 3", "line 3", "a.txt"], "3 examples"),
        ([], "0 examples"),
    ],
)
def test_examples_are_counted(names, text):
    assert count_of_examples(names) == text


def test_rows_that_are_left_out():
    entries = [Quarantined(f"row {i}", "empty cell") for i in (3, 8)]
    assert left_out(entries) == ["2 rows are left out ('row 3', 'row 8'): empty cell"]


@pytest.mark.parametrize(("name", "places"), [("row 3", "rows"), ("a.png", "files")])
def test_too_many_bad_examples_are_counted_as_what_they_are(name, places):
    bad = [Quarantined(name, "empty", is_bad=True)]
    (message,) = problems.of_files(bad, 1, DataConfig(source="csv", path="/x.csv"))
    assert f"1 of 2 {places} cannot be used" in message
    assert f"; repair or remove these {places}, or raise" in message
