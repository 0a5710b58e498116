"""Run folders written by hand, with hostile names, for tests of the report."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from tl_keras.report.pages import page
from tl_keras.run import marks
from tl_keras.run.files import write_json
from tl_keras.run.result.exports import Exported, FileLoss, Latency, Shipped
from tl_keras.run.result.training import CandidateRecord, Counts, ModelRecord
from tl_keras.run.result.whole import SCHEMA, Result, build, to_json
from tl_keras.tasks.classification.record import ClassScores, Scores

SCRIPT, MATH, HAN = "<script>alert(1)</script>", "$\\frac{x$ & \"q\" 'r'", "蒲公英 🌼"
NAMES = [SCRIPT, MATH, HAN]


def scores(n: int = 100, **others) -> Scores:
    """Returns scores of a split with hostile class names."""
    classes = {
        SCRIPT: {"precision": 0.811, "recall": 0.822, "n": 61},
        MATH: {"precision": None, "recall": 0.0, "n": 1},
        HAN: {"precision": 0.833, "recall": None, "n": 0},
    }
    values = {
        "accuracy": 0.9412,
        "interval": [0.8987, 0.9741],
        "balanced_accuracy": 0.9134,
        "macro_f1": 0.9045,
        "log_loss": 0.2176,
        "calibration_error": 0.0387,
        "n": n,
        "classes": {name: ClassScores(**own) for name, own in classes.items()},
        "confusion": [[57, 2, 2], [0, 0, 1], [0, 0, 0]],
    }
    return Scores(**values | others)


def counted(rows: list[list[int]], names: list[str], **others) -> Scores:
    """Returns scores that match a confusion matrix."""
    n, right = sum(map(sum, rows)), sum(row[i] for i, row in enumerate(rows))
    columns = list(map(sum, zip(*rows, strict=True)))
    classes = {
        name: ClassScores(
            precision=rows[i][i] / columns[i] if columns[i] else None,
            recall=rows[i][i] / sum(rows[i]) if sum(rows[i]) else None,
            n=sum(rows[i]),
        )
        for i, name in enumerate(names)
    }
    share = right / n
    own = {"accuracy": share, "interval": [share - 0.04, min(share + 0.04, 1.0)]}
    return scores(n, classes=classes, confusion=rows, **own | others)


def candidate(**others) -> CandidateRecord:
    """Returns the record of a candidate's results on validation."""
    values = {"log_loss": 0.2, "accuracy": 0.9, "temperature": 1.0, "views": 9, "gain": 0.0}
    return CandidateRecord(**{**values, "won": 0, "lost": 0} | others)


def verdict(lost: float = 0.0, moved: float = 0.0, n: int = 1000) -> FileLoss:
    """Returns the loss of an exported file on validation."""
    return FileLoss(
        accuracy=0.9 - lost,
        lost=lost,
        interval=[lost, lost],
        agreement=1 - lost,
        moved=moved,
        n=n,
        on="validation",
    )


def exported(name: str, size: int = 1_000_000, status: str = "ok", **others) -> Exported:
    """Returns the entry of an exported file."""
    values = {
        "path": f"export/{name}",
        "bytes": size,
        "accuracy": 0.9281,
        "agreement": 0.9837,
        "max_abs_diff": 0.0123,
        "val": verdict(),
        "latency_ms": Latency(median=3.14, p95=4.56, least=3.0, threads=2),
        "status": status,
    }
    return Exported(**values | others)


def result(**others) -> Result:
    """Returns a result of `finetune`; parts that are None are left out."""
    backbone = {"backbone": "MobileNetV2", "parameters": 2260546, "block": "block_12"}
    values = {
        "schema": SCHEMA,
        "task": "classification",
        "pipeline": "finetune",
        "seed": 0,
        "seconds": {"total": 312.0, "head": 12.5, "finetune": 188.0},
        "data": Counts(classes=3, train=306, val=77, test=153, quarantined=1),
        "model": ModelRecord(**backbone, cut="add", kept="mix"),
        "val": scores(77),
        "test": scores(153),
        "export": {
            "float32": exported("model_float32.tflite", 8_900_000),
            "int8": exported("model_int8.tflite", 690_000),
        },
        "shipped": Shipped(format="int8", path="export/model.tflite", status="ok"),
        "versions": {"keras": "3.15.0"},
        "device": "x86_64, 2 CPU cores",
    }
    every = values | others
    return build({name: value for name, value in every.items() if value is not None})


def write_result(workdir: Path, **others) -> Result:
    """Writes the result of `result` to a run folder and returns it."""
    made = result(**others)
    write_json(workdir / "result.json", to_json(made))
    return made


def rewrite(workdir: Path, **parts) -> None:
    """Replaces parts of `result.json`; parts that are None are left out."""
    path = workdir / "result.json"
    every = json.loads(path.read_text()) | parts
    made = build({name: value for name, value in every.items() if value is not None})
    write_json(path, to_json(made))


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


def make(folder: Path) -> Path:
    """Writes the folder `run` of a finished run, and its data beside it; returns the folder."""
    data, run = folder / "data", folder / "run"
    (data / "sub").mkdir(parents=True)
    marks.put(run, "run")
    for picture in (data / "sub" / "<b>.png", folder / "outside.png"):
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
    write_result(run)
    (run / "config.yaml").write_text(f"# {SCRIPT}\ndata: {{path: 'a & b'}}\n")
    write_predictions(run / "predictions.csv")
    write_records(run / "metrics.jsonl", strengths() + epochs())
    return run


def write_pictures(run: Path) -> None:
    """Writes the pictures of a run, for the mistake whose image exists."""
    folder = run / "pictures"
    folder.mkdir()
    for name, colour in (("heat_00", "orange"), ("augmented_0", "red"), ("augmented_0_0", "blue")):
        Image.new("RGB", (160, 160), colour).save(folder / f"{name}.jpg")
    mistake = {"file": "sub/<b>.png", "split": "test", "heat": "heat_00.jpg"}
    sample = {
        "file": f"{SCRIPT}.png",
        "original": "augmented_0.jpg",
        "views": ["augmented_0_0.jpg"],
    }
    (folder / "index.json").write_text(json.dumps({"mistakes": [mistake], "augmented": [sample]}))


def findings() -> dict:
    """Returns one finding of each kind that an audit may have, with hostile names."""
    near = {"files": ["sub/<b>.png", "lost.png"], "splits": ["train", "test"]}
    suspect = {"file": "sub/<b>.png", "split": "train", "label": SCRIPT, "suggested": HAN}
    return {
        "near_duplicates": [{**near, "labels": [SCRIPT, MATH], "distance": 2}],
        "suspects": [{**suspect, "probability": 0.93}],
        "suspects_note": "by <cross-validation>",
        "rare": [{"class": MATH, "n": 4, "why": "fewer than <20>"}],
        "sizes": {
            "n": 780,
            "width": [190, 577, 1048],
            "height": [256, 257, 258],
            "aspect": [0.7, 1.2, 2.1],
            "odd": [{"file": f"{SCRIPT}.png", "width": 12, "height": 900, "why": "thin <i>"}],
        },
        "brightness": {"n": 780, "median": 87.1, "odd": [{"file": "b.png", "mean": 3.1}]},
        "without_near_duplicates": {
            "split": "test",
            "accuracy": 0.91,
            "interval": [0.86, 0.95],
            "n": 143,
            "removed": 10,
        },
    }


def change(run: Path, name: str, **values) -> None:
    """Replaces parts of a JSON file."""
    path = run / name
    path.write_text(json.dumps(json.loads(path.read_text()) | to_json(values)))


VOID = ("meta", "img")


class Outline(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that are not properly nested."""

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

    @property
    def words(self) -> str:
        """Returns all text on one line with single spaces."""
        return " ".join(" ".join(self.text).split())


def report(workdir: Path) -> str:
    """Writes the report of a run folder and returns its HTML."""
    return page.write(workdir).read_text(encoding="utf-8")
