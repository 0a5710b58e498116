"""Claims on tl_keras/report: safe with hostile names, self-contained, complete, graceful."""

import base64
import csv
import importlib.resources
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_keras.data import digits
from tl_keras.report import advice, charts, figures, page, pictures, provenance, results, words
from tl_keras.report.read import read

SCRIPT, MATH, HAN = "<script>alert(1)</script>", "$\\frac{x$ & \"q\" 'r'", "蒲公英 🌼"
NAMES = [SCRIPT, MATH, HAN]


def scores(n: int) -> dict:
    classes = {
        SCRIPT: {"precision": 0.811, "recall": 0.822, "n": 61},
        MATH: {"precision": None, "recall": 0.0, "n": 1},
        HAN: {"precision": 0.833, "recall": None, "n": 0},
    }
    return {
        "accuracy": 0.9412,
        "interval": [0.8987, 0.9741],
        "balanced_accuracy": 0.9134,
        "macro_f1": 0.9045,
        "log_loss": 0.2176,
        "calibration_error": 0.0387,
        "n": n,
        "classes": classes,
        "confusion": [[57, 2, 2], [0, 0, 1], [0, 0, 0]],
    }


def exported(name: str, size: int, status: str = "ok") -> dict:
    return {
        "path": f"export/{name}",
        "bytes": size,
        "accuracy": 0.9281,
        "agreement": 0.9837,
        "max_abs_diff": 0.0123,
        "latency_ms": {"median": 3.14, "p95": 4.56, "threads": 2},
        "status": status,
    }


def result() -> dict:
    return {
        "schema": 1,
        "pipeline": "finetune",
        "seed": 0,
        "seconds": {"total": 312.0, "head": 12.5, "finetune": 188.0},
        "data": {"classes": 3, "train": 306, "val": 77, "test": 153, "quarantined": 1},
        "model": {"backbone": "MobileNetV2", "parameters": 2260546, "block": "block_12"},
        "val": scores(77),
        "test": scores(153),
        "export": {
            "float32": exported("model_float32.tflite", 8_900_000),
            "int8": exported("model_int8.tflite", 690_000),
        },
        "versions": {"keras": "3.15.0"},
        "device": "x86_64, 2 CPU cores",
    }


def write_predictions(path: Path) -> None:
    lines = [
        ["a.png", "val", MATH, SCRIPT, 0.99],
        ["right.png", "test", SCRIPT, SCRIPT, 0.97],
        ["sub/<b>.png", "test", SCRIPT, HAN, 0.666],
        ["../outside.png", "test", MATH, SCRIPT, 0.777],
        ["broken.png", "test", MATH, SCRIPT, 0.555],
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        header = ["file", "split", "label", "prediction", "probability"]
        lines = [header + [f"p:{n}" for n in NAMES], *([*line, 0, 0, 0] for line in lines)]
        csv.writer(file).writerows(lines)


def strengths() -> list[dict]:
    tried = [(100.0, 0.69), (10.0, 0.31), (1.0, 0.35)]
    return [
        {"stage": "head", "epoch": i, "regularisation": r, "val_loss": loss, "val_accuracy": 0.8}
        for i, (r, loss) in enumerate(tried)
    ]


def epochs(stage: str = "finetune") -> list[dict]:
    return [
        {"stage": stage, "epoch": i, "loss": loss, "val_loss": loss + 0.1, "val_accuracy": 0.9}
        for i, loss in enumerate([0.5, 0.4, 0.39])
    ]


def write_records(path: Path, records: list[dict]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    data, run = tmp_path / "data", tmp_path / "run"
    (data / "sub").mkdir(parents=True)
    run.mkdir()
    for picture in (data / "sub" / "<b>.png", tmp_path / "outside.png"):
        Image.new("RGB", (400, 200), "red").save(picture)
    (data / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    record = {
        "root": str(data),
        "classes": NAMES,
        "splits": {"train": ["x.png"], "val": ["a.png"], "test": ["b.png"]},
        "quarantined": [{"file": f"{SCRIPT}.png", "reason": "0 bytes <i>"}],
        "warnings": ["12 pictures are <u>"],
        "fingerprint": "9f2c1e7a",
    }
    (run / "data.json").write_text(json.dumps(record))
    (run / "result.json").write_text(json.dumps(result()))
    (run / "config.yaml").write_text(f"# {SCRIPT}\ndata: {{path: 'a & b'}}\n")
    write_predictions(run / "predictions.csv")
    write_records(run / "metrics.jsonl", strengths() + epochs())
    return run


def report(workdir: Path) -> str:
    return page.write(workdir).read_text(encoding="utf-8")


def change(workdir: Path, name: str, **values) -> None:
    path = workdir / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


VOID = ("meta", "img")


class Outline(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open = self.open[: -1 if tag not in VOID else None]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_names_are_text(workdir):
    text = report(workdir)
    outline = Outline(text)
    assert not {"script", "i", "b", "u"} & set(outline.tags)
    assert SCRIPT not in text
    for name in NAMES:
        assert any(name in piece for piece in outline.text)
    assert any("0 bytes <i>" in piece for piece in outline.text)
    assert not [a for a in outline.attributes if a[1].startswith("on")]


def test_nothing_is_fetched(workdir):
    text = report(workdir)
    assert "http:" not in text and "https:" not in text and "@import" not in text
    fetched = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}
    targets = [value for _, name, value in Outline(text).attributes if name in fetched]
    assert targets and all(value.startswith(("data:image/jpeg;base64,", "#")) for value in targets)


def test_page_is_accessible(workdir):
    text = report(workdir)
    outline = Outline(text)
    assert ("html", "lang", "en") in outline.attributes
    levels = [int(tag[1]) for tag in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    found = outline.attributes
    assert outline.tags.count("img") == len([a for a in found if a[:2] == ("img", "alt")]) == 1
    ids = [value for _, name, value in found if name == "id"]
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text):
        assert "".join(target) in ids
    labels = [value for tag, name, value in found if (tag, name) == ("svg", "aria-label")]
    assert labels[0].startswith("Loss over 3 epochs: training from 0.5 to 0.39")


def test_headline(workdir):
    assert advice.headline(read(workdir)) == (
        "94.1% of 153 test examples right (95% interval 89.9 to 97.4), float exports agree; "
        "smallest file model_int8.tflite, 0.7 MB, 3.1 ms an example"
    )


def test_every_number_is_shown(workdir):
    text = " ".join(Outline(report(workdir)).text).replace("\xa0", " ")
    numbers = "94.1% 91.3% 90.5% 0.218 3.9% 81.1% 82.2% 92.8% 98.4% 0.0123 3.14 4.56 8.9 2,260,546"
    for number in [*numbers.split(), "77.7%", "66.6%", "55.5%", "89.9 to 97.4", "12.5 s"]:
        assert number in text, number
    for word in ["n = 153", "n = 77", "306 training", "2 threads", "block_12", "3.15.0"]:
        assert word in text, word
    for word in ["12 pictures are <u>", "9f2c1e7a", "path: 'a & b'", "2 CPU cores"]:
        assert word in text, word


def test_advice(workdir):
    lines = " ".join(advice.what_to_do(read(workdir)))
    assert "153 test examples are few" in lines
    assert "No test examples of 蒲公英" in lines
    assert "Weakest class: $\\frac{x$" in lines
    assert "1 file was left out" in lines
    assert "still falling" in lines  # From 0.50 to 0.49 in the last epoch.


def test_thumbnails_only_of_readable_pictures_under_the_root(workdir):
    text = report(workdir)
    assert text.count("<img ") == 1
    assert 'alt="sub/&lt;b&gt;.png"' in text
    assert "outside.png" in text and "broken.png" in text


def test_picture_too_large_is_left_out(workdir, monkeypatch):
    monkeypatch.setattr(pictures, "PICTURE", 400 * 200 - 1)
    assert "<img " not in report(workdir)


def test_worst_mistakes_come_first_and_only_from_test(workdir):
    table = results.mistakes(read(workdir))
    places = [table.index(probability) for probability in ("77.7%", "66.6%", "55.5%")]
    assert places == sorted(places)
    assert "99.0%" not in table and "97.0%" not in table
    assert "3 of 4 test examples are wrong" in table


def test_equal_files_give_equal_bytes_and_nothing_is_left_beside(workdir):
    first = page.write(workdir).read_bytes()
    assert page.write(workdir).read_bytes() == first
    assert not [path for path in workdir.iterdir() if path.name.startswith(".")]


def test_failed_render_keeps_the_old_report(workdir):
    first = page.write(workdir).read_bytes()
    (workdir / "result.json").write_text("{half")
    with pytest.raises(ValueError, match="result.json is no JSON"):
        page.write(workdir)
    assert (workdir / "report.html").read_bytes() == first


@pytest.mark.parametrize(
    "name", ["config.yaml", "data.json", "metrics.jsonl", "predictions.csv", "result.json"]
)
def test_works_without_or_with_only_one_file(workdir, name):
    kept = (workdir / name).read_bytes()
    (workdir / name).unlink()
    Outline(report(workdir))
    for path in workdir.iterdir():
        path.unlink()
    (workdir / name).write_bytes(kept)
    Outline(report(workdir))


@pytest.mark.parametrize("key", [*result(), "everything"])
def test_works_without_any_part_of_the_result(workdir, key):
    (workdir / "metrics.jsonl").unlink()  # Charts are slow and have no part in this.
    kept = {} if key == "everything" else {k: v for k, v in result().items() if k != key}
    (workdir / "result.json").write_text(json.dumps(kept))
    Outline(report(workdir))
    change(workdir, "result.json", **{key: None})
    Outline(report(workdir))


def test_unfinished_run_says_so(workdir):
    (workdir / "result.json").unlink()
    text = report(workdir)
    assert "This run has not finished" in text and "Fine-tuning: 3 epochs" in text
    assert "Start the same command again" in text


def test_without_a_test_split_the_validation_speaks(workdir):
    change(workdir, "result.json", test=None, val={**scores(77), "classes": {}})
    run = read(workdir)
    assert advice.headline(run).startswith("94.1% of 77 validation examples right")
    assert advice.what_to_do(run)[0].startswith("There is no test split")


@pytest.mark.parametrize(("low", "warns"), [(0.7, True), (0.76, False)])
def test_a_model_no_better_than_the_largest_class_is_said_so(workdir, low, warns):
    classes = {name: {"recall": 0.8, "n": n} for name, n in {"cat": 75, "dog": 25}.items()}
    test = {**scores(100), "accuracy": 0.8, "interval": [low, 0.88], "classes": classes}
    change(workdir, "result.json", test=test)
    lines = advice.what_to_do(read(workdir))
    said = "Not shown to be better than always answering cat, which is right on 75.0% of these"
    assert any(line.startswith(said) for line in lines) == warns


def test_export_outside_its_tolerance_is_named(workdir):
    sentence = "loses 0.052 of accuracy, over <0.01>"
    bad = exported("model_int8.tflite", 690_000, sentence)
    good = exported("model_float32.tflite", 8_900_000)
    change(workdir, "result.json", export={"float32": good, "int8": bad})
    run = read(workdir)
    assert "int8 outside tolerance; smallest file model_float32.tflite" in advice.headline(run)
    assert any(f"misses its tolerance ({sentence})" in line for line in advice.what_to_do(run))
    table = results.exports(run)
    assert table.count(">ok<") == 1 and table.count(">missed<") == 1
    assert "int8: loses 0.052 of accuracy, over &lt;0.01&gt;." in table


def test_exports_that_nobody_checked_are_not_said_to_agree(workdir):
    change(workdir, "result.json", export={"float32": {"path": "model.tflite", "bytes": 50_000}})
    line = advice.headline(read(workdir))
    assert "agree" not in line and line.endswith("smallest file model.tflite, 50.0 kB")


def test_confusion_matrix_or_pairs(workdir):
    run = read(workdir)
    assert 'class="right" style="--share:0.942">57<' in results.confusion(run)
    names = [f"class {i}" for i in range(30)]
    classes = {name: {"precision": 0.5, "recall": i / 30, "n": 2} for i, name in enumerate(names)}
    confusion = [[1] * 30 for _ in names]
    confusion[3][7] = 9
    many = {**scores(900), "classes": classes, "confusion": confusion}
    change(workdir, "result.json", test=many)
    table = results.confusion(read(workdir))
    assert "most confused pairs of 30 classes" in table
    assert table.index("class 3<") < table.index("class 7<") < table.index(">9<")


def test_confusion_is_counted_from_predictions_where_scores_have_none(workdir):
    change(workdir, "result.json", test={k: v for k, v in scores(4).items() if k != "confusion"})
    _, counts = figures.counts(read(workdir))
    assert counts == {(SCRIPT, SCRIPT): 1, (SCRIPT, HAN): 1, (MATH, SCRIPT): 2}


def test_long_lists_are_cut_with_a_count(workdir):
    quarantined = [{"file": f"{i}.png", "reason": "0 bytes"} for i in range(1234)]
    change(workdir, "data.json", quarantined=quarantined)
    text = report(workdir)
    assert "the first 100, and 1,134 more" in text
    assert ">99.png<" in text and ">100.png<" not in text


def test_epochs_of_a_killed_and_resumed_run(workdir):
    path = workdir / "metrics.jsonl"
    again = json.dumps({"stage": "finetune", "epoch": 2, "loss": 0.1})
    path.write_text(path.read_text() + again + '\n{"stage": "fine')
    found = figures.epochs(read(workdir))
    assert len(found) == 3 and found[-1]["loss"] == 0.1
    path.write_text('{"half\n' + path.read_text())
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        read(workdir)


def test_file_name_that_is_no_utf8_does_not_cost_the_report(workdir):
    change(workdir, "data.json", quarantined=[{"file": "\udcff.png", "reason": "name"}])
    assert "\\udcff.png" in report(workdir)


def test_errors_name_the_file(workdir, tmp_path):
    with pytest.raises(ValueError, match="is no run folder"):
        page.write(tmp_path)
    (workdir / "data.json").write_text("[]")
    with pytest.raises(ValueError, match="data.json must hold an object; received list"):
        page.write(workdir)
    (workdir / "data.json").unlink()
    (workdir / "config.yaml").write_text("data: {half")
    with pytest.raises(ValueError, match="config.yaml is no YAML"):
        page.write(workdir)
    (workdir / "config.yaml").unlink()
    (workdir / "predictions.csv").write_text("file,label\n")
    with pytest.raises(ValueError, match=r"lacks the columns \['split', 'prediction'"):
        page.write(workdir)


def test_strengths_of_the_head_are_no_epochs(workdir):
    text = results.training(read(workdir))
    assert (
        "Head: logistic regression, 3 strengths of regularisation tried; validation loss 0.310 at "
        "the best (regularisation 10)."
    ) in text
    assert "Fine-tuning: 3 epochs; lowest validation loss 0.490, in epoch 3." in text
    assert "Loss over 3 epochs" in text and "validation from 0.6 to 0.49" in text


def test_head_alone_has_no_chart_and_no_epochs(workdir):
    falling = [{**record, "val_loss": 1 / (i + 1)} for i, record in enumerate(strengths())]
    write_records(workdir / "metrics.jsonl", falling)
    run = read(workdir)
    text = results.training(run)
    assert "3 strengths" in text and "306 training and 77 validation" in text
    assert "<svg" not in text and "epoch" not in text
    assert not [line for line in advice.what_to_do(run) if "epoch" in line]


def test_pretraining_from_scratch(workdir):
    values = {"weights": "none", "freeze": 0.0, "block": None, "cut": None, "kept": "scratch"}
    kept = {key: value for key, value in result().items() if key != "export"}
    changed = json.dumps(kept | {"pipeline": "pretrain", "model": values})
    (workdir / "result.json").write_text(changed)
    write_records(workdir / "metrics.jsonl", epochs("scratch"))
    run = read(workdir)
    assert advice.headline(run).endswith("right (95% interval 89.9 to 97.4)")
    assert results.exports(run) == ""
    assert results.training(run).startswith('<p class="note">Training from scratch: 3 epochs;')
    for said in ("none: random", "nothing", "the weights trained from scratch"):
        assert f"<dd>{said}</dd>" in provenance.model(run)
    assert "set model.weights to this run's folder" in advice.what_to_do(run)[-1]
    Outline(page.render(run))


def test_model_and_its_candidates_in_words(workdir):
    scored = {"log_loss": 0.48289, "accuracy": 0.8333, "temperature": 0.9453}
    values = {"freeze": 0.5, "block": "block_8", "cut": "block_8_add", "kept": "mix"}
    candidates = {"head": scored, "mix": {**scored, "log_loss": 0.15}}
    change(workdir, "result.json", model={"candidates": candidates, **values})
    text = provenance.model(read(workdir))
    assert "<dd>up to block_8, 50% of the blocks</dd>" in text and "block_8_add" not in text
    assert "<dd>the mean of the weights before and after fine-tuning</dd>" in text
    assert "<td>mix (kept)</td>" in text and ">0.150<" in text and ">0.483<" in text


def test_features_in_words(workdir):
    kept = {"cached": True, "bytes": 1_064_960, "seconds": 5.193, "why": "one view"}
    features = {"a/b/train": kept, "cut/val": {"keep": False, "why": "<another> view"}}
    change(workdir, "result.json", features=features)
    text = provenance.features(read(workdir))
    row = "<td>a/b</td><td>train</td><td>read from the cache</td>"
    assert row in text and ">1.1 MB<" in text and ">5.2 s<" in text
    assert "<td>validation</td><td>not kept</td>" in text and "&lt;another&gt; view" in text


def test_validation_above_the_test_interval(workdir):
    def line(low: float) -> str:
        change(workdir, "result.json", val={**scores(77), "accuracy": 0.98, "interval": [low, 1.0]})
        return next(line for line in advice.what_to_do(read(workdir)) if "above" in line)

    apart = line(0.975)
    assert "Choices were made on validation" in apart and "search" not in apart
    assert "chance" not in apart and "chance" in line(0.95)


def test_exports_say_on_how_many_examples_they_were_measured(workdir):
    assert "measured on 153 test examples" in results.exports(read(workdir))
    some = {name: {**exported(name, 1), "n": n} for name, n in (("float32", 60), ("int8", 60))}
    change(workdir, "result.json", export=some)
    assert "measured on 60 test examples" in results.exports(read(workdir))


@pytest.fixture
def digits_run(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("data:\n  source: digits\n")
    (tmp_path / "data.json").write_text(json.dumps({"root": None}))
    files = ["digits/0002", "digits/0001", "digits/9999", "/digits/0001", "digits/0001/.."]
    lines = [[file, "test", "3", "5", 0.9 - i / 10] for i, file in enumerate(files)]
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        header = ["file", "split", "label", "prediction", "probability"]
        csv.writer(file).writerows([header, *lines])
    return tmp_path


def test_embedded_digits_are_shown(digits_run, monkeypatch):
    calls = []

    def render():
        calls.append(1)
        return np.array([0, 100, 200], np.uint8).repeat(3 * 16).reshape(3, 4, 4, 3), np.arange(3)

    monkeypatch.setattr(digits, "render", render)
    text = report(digits_run)
    shown = re.findall('base64,([^"]*)" alt="([^"]*)"', text)
    assert [alt for _, alt in shown] == ["digits/0002", "digits/0001"]
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data, _ in shown]
    assert [int(picture.mean().round()) for picture in pixels] == [200, 100]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("predictions.csv", "file,split,label,prediction,probability\ndigits/0001,test,3,3,0.9\n"),
        ("config.yaml", "data: {source: glyphs}\n"),
        ("data.json", '{"root": "elsewhere"}'),
    ],
)
def test_digits_are_drawn_only_for_mistakes_of_digits(digits_run, monkeypatch, name, content):
    monkeypatch.setattr(digits, "render", lambda: pytest.fail("drawn"))
    (digits_run / name).write_text(content)
    assert "<img " not in report(digits_run)


def test_needs_no_tensorflow(digits_run):
    code = (
        "import sys; from pathlib import Path; from tl_keras import report; "
        "report.write(Path(sys.argv[1])); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(digits_run)], check=True, timeout=120)
    assert report(digits_run).count("<img ") == 2


def test_style_sheet_is_a_resource_of_the_package(workdir):
    style = importlib.resources.files("tl_keras.report").joinpath("style.css").read_text()
    assert style in report(workdir) and "</" not in style


def test_short_class_names_lie_flat_over_the_matrix(workdir):
    for names, steep in (([str(i) for i in range(10)], False), (["a" * 20, "b" * 20], True)):
        classes = {name: {"precision": 0.5, "recall": 0.5, "n": 2} for name in names}
        confusion = np.eye(len(names), dtype=int).tolist()
        change(workdir, "result.json", test={"classes": classes, "confusion": confusion, "n": 9})
        assert ('class="matrix steep"' in results.confusion(read(workdir))) == steep


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.24, "0.240"), (10.0, "10"), (316.227, "316"), (10000.0, "10,000"), (999.7, "1,000")]
    + [(3.04e-6, "3.04e-06"), (0, "0"), (None, "–"), (float("nan"), "–")],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert words.number(value) == text


def test_charts_leave_out_what_has_no_numbers():
    assert charts.learning_curves([]) == []
    gaps = [{"loss": float("nan"), "val_accuracy": 0.5}, {"loss": None, "val_accuracy": 1.0}]
    (svg,) = charts.learning_curves(gaps)
    assert 'aria-label="Accuracy, % over 2 epochs: validation from 50 to 100."' in svg
    assert len(charts.learning_curves([{"loss": 1.0}])) == 1


def test_charts_take_the_colours_of_the_page():
    (svg,) = charts.learning_curves([{"loss": 1.0, "val_loss": 1.0}])
    assert "var(--series)" in svg and not re.search("#[0-9a-f]{6}", svg)
