"""The cells of a CSV file or of JSON lines are examples; wrong files are refused by name."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from tl_keras.config import detect
from tl_keras.config.whole import RunConfig
from tl_keras.data import contents
from tl_keras.data import load as loading
from tl_keras.data.sources import of_files, tables
from tl_keras.data.table_files import limits

GOOD = "text,label\nI like it,good\nI hate it,bad\n"


def config_of(file, **data):
    source = "jsonl" if file.suffix == ".jsonl" else "csv"
    data = {"source": source, "path": str(file), "modality": "text", **data}
    return RunConfig(data=data, model={"backbone": "any.keras"})


def written(root, text, name="data.csv"):
    file = root / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def listed(root, text, name="data.csv", **data):
    return tables.list_table(config_of(written(root, text, name), **data))


def rows(listing):
    return [(entry.file, entry.label, entry.split, entry.group) for entry in listing.files]


def reasons(listing):
    return {entry.file: entry.reason for entry in listing.quarantined}


def test_cells_are_examples(tmp_path):
    listing = listed(
        tmp_path,
        "Group, TEXT,label,Split\n"
        'ann,"two\nlines, ""quoted""",good,train\n'
        ",Käfer 熊,bad,Validation\n"
        "\n"
        "bob,x,bad,test\n",
    )
    assert listing.root == tmp_path / "data.csv"
    assert rows(listing) == [
        ("row 2", "good", "train", "ann"),
        ("row 3", "bad", "val", ""),
        ("row 5", "bad", "test", "bob"),
    ]


def test_equal_texts_are_separate_examples(tmp_path):
    assert len(rows(listed(tmp_path, "text,label\na,x\na,x\nb,y\n"))) == 3


def test_other_columns_can_be_chosen(tmp_path):
    text = "text,Review,sentiment,label_1\nno,yes,good,7\nno,,bad,8\n"
    listing = listed(tmp_path, text, text_column="review", label_column="Sentiment")
    assert listing.root == tmp_path / "data.csv" / "review"
    assert rows(listing) == [("row 2", "good", "", ""), ("row 3", "bad", "", "")]


def test_a_label_column_of_images_can_be_chosen(tmp_path):
    written(tmp_path, b"x", "1.png")
    file = written(tmp_path, "path,kind\n1.png,cat\n")
    config = RunConfig(data={"source": "csv", "path": str(file), "label_column": "kind"})
    assert rows(tables.list_table(config)) == [("1.png", "cat", "", "")]


def test_a_table_may_name_files_of_texts(tmp_path):
    written(tmp_path, b"one", "1.txt")
    listing = listed(tmp_path, "path,label\n1.txt,a\n2.txt,b\n")
    assert (listing.root, rows(listing)) == (tmp_path, [("1.txt", "a", "", "")])
    assert reasons(listing) == {"2.txt": "does not exist"}


def test_rows_without_label_or_text_are_left_out(tmp_path):
    text = GOOD + "no label,\nnan label,nan\n,good\n  ,bad\n"
    listing = listed(tmp_path, text)
    assert reasons(listing) == {
        "row 4": "no label",
        "row 5": "no label: 'nan' means a missing label",
    }
    body = "".join(f"text {i} {word},{word}\n" for i in range(20) for word in ("good", "bad"))
    file = written(tmp_path, f"text,label\n{body},good\n  ,bad\n")
    config = config_of(file, max_bad_share=0.5)
    found = {e.file: e.reason for e in loading.load(config).quarantined}
    assert found["row 42"] == "empty cell"
    assert set(found) == {"row 42", "row 43"}


WHERE = "data.path: '.*data.csv'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'text'; expected the columns text,label and .*; received nothing"),
        ("text,label\n", "has no rows below its header"),
        ("text,class\na,b\n", "has no column 'label'; .*set data.label_column to its name"),
        ("text,text,label\na,b,c\n", "has the column 'text' twice; rename or remove one"),
        ("text,label,group,group\na,b,c,d\n", "has the column 'group' twice"),
        ("text,label\nI came, I saw,good\n", "row 2 has more cells than the header; put quotes"),
        ('text,label\n"a\nb",x\nc, d,y\n', r"row 3 \(line 4\) has more cells than the header"),
        ("text,label\n'I came, I saw',good\n", "expected the quote \", .*; received '"),
        ("text,label\n“I came, I saw”,good\n", 'expected the quote ", .*; received “'),
        ('text,label\na,x\n"open,y\nb,z\n', 'row 3 has an opening quote " without a closing one'),
        ('text,label\n"a\nb",x\n"say ""hi,y\n', r"row 3 \(line 4\) has an opening quote"),
        ('text,label\n"say \\"hi\\"",x\n', r'row 2 has \\" inside a cell in quotes; save'),
        ('text,label\n"say "hi" to",x\n', 'row 2 has a quote " inside a cell in quotes'),
        ("text,label\na,\n", "has no row with a label"),
        ("text,label\na,0.5\nb,1.5\n", "'0.5' looks like a number to predict"),
        ("text,label\na,x|y\nb,x\nc,y\n", "looks like several labels"),
        ("text,labels\na,x\n", "has the column 'labels', but several labels"),
        ("text,label_a,label_b\na,x,y\n", "has the column 'label_a', but several labels"),
        ("text,label_text\na,x\n", "has no column 'label'; .*set data.label_column to its name"),
        ("text,label,split\na,x,old\n", "row 2: expected 'train', 'val', .*; received 'old'"),
        ("text_a,text_b,label\na,b,x\n", "the columns 'text_a' and 'text_b', so .*pairs"),
        ("Sentence1,sentence2,label\na,b,x\n", "the columns 'sentence1' and 'sentence2'"),
        ("premise,hypothesis,label\na,b,x\n", "set data.text_column to the column to use"),
        ("I like it,good\nI hate it,bad\n", "if the first row is not a header, insert the row te"),
        (
            "I like everything about this small hotel,good\nI hate it,bad\n",
            "received i like everything about this small hotel, good; if the first row is not a "
            "header, insert the row text,label above it$",
        ),
        (
            "I like everything about this small hotel so much,good\nI hate it,bad\n",
            r"received i like everything about this small hotel\.\.\., good; if the first row",
        ),
        ("a/1.txt,good\nb/2.txt,bad\n", "is not a header, insert the row path,label above it$"),
        (
            "id,review,label\n1,I like it very much,good\n",
            "received id, review, label; if the column 'review' holds the texts, set "
            "data.text_column=review$",
        ),
        (
            "review,stars\nI like it very much,good\n",
            "set data.text_column=review, and data.label_column to the name of the column with",
        ),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"{WHERE}.*{message}"):
        listed(tmp_path, text)


def test_a_pair_is_no_obstacle_if_the_column_is_chosen(tmp_path):
    text = "premise,hypothesis,text,label\na,b,c,x\nd,e,f,y\n"
    assert listed(tmp_path, text).root == tmp_path / "data.csv"
    assert listed(tmp_path, text, text_column="premise").root.name == "premise"


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_separators_are_named_with_a_command_that_helps(tmp_path, mark):
    lines = [["text", "label"], ["I came, I saw", "good"], ['say "hi"\nnow', "bad"]]
    file = tmp_path / "it's.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream, delimiter=mark).writerows(lines)
    named = re.escape(f"separate columns by commas instead of {mark!r}")
    with pytest.raises(ValueError, match=f"received text.label; {named}") as caught:
        tables.list_table(config_of(file))
    command = re.search(r'python -c "(.*)"$', str(caught.value)).group(1)
    subprocess.run([sys.executable, "-c", command], check=True)
    (new,) = tmp_path.glob("*commas.csv")
    assert [row[1] for row in rows(tables.list_table(config_of(new)))] == ["good", "bad"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.encode("utf-16"), "it is in UTF-16; save it as CSV UTF-8"),
        (GOOD.encode("utf-16-le"), "its header has null bytes, as in UTF-16"),
        ("text,label\né,x\n".encode("utf-16-le"), "it has null bytes, as in UTF-16 or in a binary"),
        (b"PK\x03\x04\0\0" + bytes(50), "it is an Excel workbook or a ZIP archive"),
        (b"text,label\na,x\nK\xe4fer,y\n", "line 3 has the byte 0xe4, which is 'ä' in Latin-1"),
        (b"text,label\n\x81,y\n", "line 2 has the byte 0x81; save it as CSV UTF-8"),
    ],
)
def test_other_encodings_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=f"{WHERE} is not a CSV file in UTF-8: {message}"):
        listed(tmp_path, content)


def test_empty_rows_above_the_header_are_left_out(tmp_path):
    listing = listed(tmp_path, '\n,\ntext,label\n"a, b",x\n\nc,y\n')
    assert rows(listing) == [("row 4", "x", "", ""), ("row 6", "y", "", "")]
    data = {"source": "csv", "path": str(listing.root)}
    assert detect.modality_of(data) == "text"


def test_the_command_that_converts_latin_1_helps(tmp_path):
    with pytest.raises(ValueError, match="cp1252") as caught:
        listed(tmp_path, "text,label\nKäfer,x\nb,y\n".encode("cp1252"))
    command = re.search(r'python -c "(.*)"$', str(caught.value)).group(1)
    subprocess.run([sys.executable, "-c", command], check=True)
    assert len(rows(tables.list_table(config_of(tmp_path / "data_utf8.csv")))) == 2


def test_long_cells_are_read_and_the_limit_of_csv_stays(tmp_path):
    before = csv.field_size_limit()
    assert len(rows(listed(tmp_path, f"text,label\n{'x ' * 200_000},a\nb,b\n"))) == 2
    assert csv.field_size_limit() == before


def test_texts_in_place_of_labels_are_refused(tmp_path):
    message = f"{WHERE}, row 3: the label has 1,001 characters; expected one class name of at most"
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, f"text,label\na,b\nc,{'d' * 1001}\n")
    with pytest.raises(ValueError, match="set data.label_column"):
        listed(tmp_path, f"text,label\na,b\nc,{'d' * 1001}\n", literal_labels=True)


def test_large_tables_are_refused_before_they_are_read(tmp_path, monkeypatch):
    file = written(tmp_path, b"")
    with file.open("r+b") as stream:
        stream.truncate(limits.MAX_BYTES + 1)  # A sparse file: no bytes on disk.
    with pytest.raises(ValueError, match="expected a table of at most 512 MiB and 2,0.*sample"):
        tables.list_table(config_of(file))
    monkeypatch.setattr(limits, "MAX_ROWS", 3)
    with pytest.raises(ValueError, match="has more than 3 rows; expected at most 3 rows.*sample"):
        listed(tmp_path, "text,label\n" + 4 * "a,b\n")
    many = "".join(json.dumps({"text": "a", "label": "b"}) + "\n" for _ in range(4))
    with pytest.raises(ValueError, match="has more than 3 rows"):
        listed(tmp_path, many, "data.jsonl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text_column": "review"}, "data.text_column: .*no column 'review'; expected one of text"),
        ({"text_column": "txt"}, "did you mean 'text'"),
        ({"label_column": "class"}, "data.label_column: .*no column 'class'; expected the columns"),
        ({"text_column": "text", "modality": "image"}, "data.text_column: the examples are of the"),
    ],
)
def test_wrong_fields_are_named(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        if data.get("modality") == "image":
            file = written(tmp_path, GOOD)
            tables.list_table(RunConfig(data={"source": "csv", "path": str(file), **data}))
        listed(tmp_path, GOOD, **data)


def test_cells_need_a_name_with_a_suffix_of_tables(tmp_path):
    with pytest.raises(ValueError, match=r"expected a name that ends with \.csv, since"):
        listed(tmp_path, GOOD, "data.txt")
    with pytest.raises(ValueError, match="is not a table of data.source 'csv'; .* 'jsonl'"):
        listed(tmp_path, GOOD, "data.jsonl", source="csv")


# JSON lines.


def lines(*values):
    return "".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values)


def test_json_lines_are_examples(tmp_path):
    text = lines(
        {"text": 'two\nlines "ä"', "label": "good", "split": "train", "group": "ann"},
        "",
        {"Label": 7, "TEXT": "x", "extra": [1, {"a": 2}]},
        {"text": "y", "label": None},
        {"text": "", "label": True},
    )
    listing = listed(tmp_path, text, "data.jsonl", literal_labels=False)
    assert rows(listing) == [
        ("line 1", "good", "train", "ann"),
        ("line 3", "7", "", ""),
        ("line 5", "true", "", ""),
    ]
    assert reasons(listing) == {"line 4": "no label"}


def test_bad_lines_are_left_out_with_their_numbers(tmp_path):
    good = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(10)]
    bad = ['{"text": "a", "label"', "[1]", '{"text": "\\ud800", "label": "a"}', "9" * 5000]
    bad.append('{"text": "a", "Text": "b", "label": "a"}')
    bad.append('{"text": "a", "label": "a", "more": [{"x": "\\ud800"}]}')
    bad.append('{"text": "a", "label": "a", "\\udfff": 1}')
    bad.append('{"text": "a", "label": ' + "[" * 9000 + "]" * 9000 + "}")
    text = lines(*good, *bad, {"text": ["a", "list"], "label": "a"}).encode()
    listing = listed(tmp_path, text + b'{"text": "\xe4", "label": "a"}\n', "data.jsonl")
    found = reasons(listing)
    assert len(listing.files) == 10
    assert list(found) == [f"line {i}" for i in (*range(11, 19), 20, 19)]
    assert found["line 11"].startswith("not JSON: Expecting ':' delimiter at column")
    assert found["line 12"] == "not a JSON object, but a list"
    assert all("lone surrogate" in found[f"line {i}"] for i in (13, 16, 17))
    assert found["line 14"] == "not JSON that can be read: a number has too many digits"
    assert found["line 18"] == "not JSON that can be read: too many brackets inside each other"
    assert found["line 15"].startswith("has the key 'text' twice")
    assert found["line 19"] == "the value of 'text' is a list or an object; expected a string"
    assert found["line 20"].startswith("not UTF-8: byte 0xe4 at position")
    assert all(entry.is_bad for entry in listing.quarantined)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD, "has 3 bad lines of 3; line 1: not JSON: .*expected JSON lines: one object on"),
        ('[\n{"text": "a"},\n{"text": "b"}\n]\n', "is one JSON array; expected JSON lines"),
        (lines({"text": "a"}).encode("utf-16"), "is in UTF-16; save it as UTF-8"),
        (lines({"text": "a", "label": ["x", "y"]}), "line 1: the label is a list or an object"),
        (lines({"premise": "a", "hypothesis": "b", "label": "x"}), "pairs are not supported"),
        (lines({"body": "a b c d", "label": "x"}), "set data.text_column=body"),
    ],
)
def test_wrong_json_lines_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"data.path: '.*data.jsonl'.*{message}"):
        listed(tmp_path, text, "data.jsonl")


def test_the_command_that_converts_a_json_array_helps(tmp_path):
    array = json.dumps([{"text": "ä", "label": "x"}, {"text": "b", "label": "y"}], indent=1)
    file = written(tmp_path, array, "data.json")
    config = config_of(file, source="jsonl")
    with pytest.raises(ValueError, match="one JSON array") as caught:
        tables.list_table(config)
    command = re.search(r'python -c "(.*)"$', str(caught.value)).group(1)
    subprocess.run([sys.executable, "-c", command], check=True)
    assert len(rows(tables.list_table(config_of(tmp_path / "data.jsonl")))) == 2


def test_deep_json_does_not_end_the_run(tmp_path):
    text = lines({"text": "a", "label": "x"}, {"text": "b", "label": "y"}, "[" * 100_000)
    assert "line 3" in reasons(listed(tmp_path, text, "data.jsonl"))


# Tables without labels.


def test_a_table_without_labels_is_listed(tmp_path):
    config = config_of(written(tmp_path, GOOD))
    file = written(tmp_path, "id,text\n1,a\n2,\n", "new.csv")
    listing = of_files.list_unlabelled(file, config, "predict")
    assert (listing.root, rows(listing)) == (file, [("row 2", "", "", ""), ("row 3", "", "", "")])
    config = config_of(written(tmp_path, GOOD), text_column="review")
    other = written(tmp_path, lines({"Review": "a"}, "x", {"review": [1]}), "new.jsonl")
    listing = of_files.list_unlabelled(other, config, "predict")
    assert (listing.root, rows(listing)) == (other / "review", [("line 1", "", "", "")])
    assert list(reasons(listing)) == ["line 2", "line 3"]
    config = config_of(file)
    with pytest.raises(ValueError, match="predict: .* has no column 'text'; received id; text"):
        of_files.list_unlabelled(
            written(tmp_path, "id; text\n", "o.csv"), config_of(file), "predict"
        )


def test_a_table_among_images_is_a_file(tmp_path):
    file = written(tmp_path, GOOD)
    config = RunConfig(data={"path": str(tmp_path)})
    assert not of_files.may_be_table(file, config.modality)


def damaged(content, rng):
    """Returns a content with some bytes changed, removed, repeated or inserted."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place, end = sorted(rng.integers(0, len(content) + 1, 2))
        strange = [
            b'"',
            b"\n",
            b"\r",
            b",",
            b"\0",
            b"\xff",
            b"{",
            b"[",
            b"\\",
            b";",
            b"\xef\xbb\xbf",
        ]
        content[place : min(end, place + rng.integers(0, 9))] = strange[rng.integers(len(strange))]
    return bytes(content)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_damaged_tables_are_read_or_refused_with_a_message(tmp_path, name, seed):
    good = 'text,label,split\n"a, b",x,train\n"say ""hi""\nnow",y,\nKäfer,x,test\n'
    if name == "data.jsonl":
        good = lines({"text": "a, b", "label": "x"}, {"text": 'say "hi"', "label": "y"}, "")
    rng = np.random.default_rng(seed)
    for _ in range(60):
        file = written(tmp_path, damaged(good.encode(), rng), name)
        try:
            listing = tables.list_table(config_of(file))
        except ValueError as error:
            assert str(error).startswith("data.path: ") and str(file) in str(error)
            continue
        read = contents.reader(listing.root)
        for entry in listing.files:
            read(entry.file).decode()
            assert entry.label
