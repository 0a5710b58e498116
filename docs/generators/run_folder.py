"""The reference of the run folder: its files, what they hold, and who writes them.

`tests/listed.py` compares the table with the folders of real runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

PAGE = "reference/run_folder.md"
INTRO = """
# The run folder

A run is a config and a folder. All that a run makes is in its folder, except for the
[cache](config.md#cache). Other programs may read these files: their names and formats are
[stable](../stability.md).

- `result.json` is written last. Its presence means that the run is finished.
- Files are replaced as a whole, so a reader never sees half a file.
- Only folders with the file `.tl_keras` are written to. When you copy a run, copy this file too.
- `report.html` and `MODEL_CARD.md` are derived from the other files, and are rewritten when those
  change.
- Folders with a name in capitals below, such as NAME, exist once for each trial, fold and so on.
"""
TRAINING = ("finetune", "search", "cross_validate", "parallel", "pretrain")
EXPORTING = ("finetune", "cross_validate", "parallel")
SEARCHING = ("search", "finetune", "cross_validate")
EVERY = (*TRAINING, "compare", "audit")


@dataclass(frozen=True)
class Row:
    """A file or a folder of a run.

    Attributes:
      path: relative to the run folder; N stands for a number, NAME for a name, and a final `/`
        for a folder with everything in it.
      holds: what it holds.
      writers: the commands that write it.
      only: when it exists; empty if it always does once its commands are finished.
    """

    path: str
    holds: str
    writers: tuple[str, ...]
    only: str = ""


ROWS = (
    Row(
        ".tl_keras",
        "The mark of a run. Only folders that have it are written to.",
        EVERY,
    ),
    Row(".lock", "Empty. A process holds it as long as it works in the folder.", EVERY),
    Row("config.yaml", "The whole config, with all defaults; loads with `--config`.", EVERY),
    Row(
        "data.json",
        "Classes and their sizes, the files and content hashes of each split, files that were left "
        "out with the reasons, warnings and notes.",
        EVERY,
    ),
    Row(
        "findings.json",
        "What to look at in the data: near-duplicates, suspicious labels, odd sizes and "
        "brightness.",
        EVERY,
    ),
    Row(
        "metrics.jsonl",
        "One JSON object for each epoch of training, and for each try of the head.",
        TRAINING,
        "after cross_validate and parallel only if the last model was trained on all examples",
    ),
    Row(
        "tensorboard/",
        "The same metrics for TensorBoard.",
        TRAINING,
        "after cross_validate and parallel only if the last model was trained on all examples",
    ),
    Row(
        "model.keras",
        "The model: prepared example to probabilities, or to features after pretrain without "
        "labels. Loads with Keras.",
        TRAINING,
    ),
    Row(
        "vocabulary/",
        "The vocabulary of the tokeniser, in Hugging Face's form.",
        TRAINING,
        "if the examples are texts",
    ),
    Row(
        "backbone.weights.h5",
        "The weights of the backbone, for `model.weights` of a later run.",
        ("pretrain",),
    ),
    Row(
        "predictions.csv",
        "One line for each example of validation and test: file, split, label, prediction, "
        "probabilities.",
        TRAINING,
        "after search only when finetune continued it; not after pretrain without labels",
    ),
    Row(
        "pictures/",
        "Augmented samples, and where the model looked in its worst mistakes, for the report.",
        TRAINING,
        "after search only when finetune continued it; not after pretrain without labels",
    ),
    Row(
        "result.json",
        "Every figure of the run, see [result.json](result.md).",
        (*TRAINING, "compare"),
    ),
    Row("report.html", "The report: one page that needs no network.", EVERY),
    Row(
        "MODEL_CARD.md",
        "The model card, for people who get the model.",
        TRAINING,
    ),
    Row(
        "export/saved_model/",
        "The SavedModel.",
        EXPORTING,
        "if `export.formats` names it",
    ),
    Row(
        "export/model_NAME.tflite",
        "The LiteRT file of a format, such as `model_int8.tflite`. `model_NAME.rejected.tflite` if "
        "it misses its tolerance.",
        EXPORTING,
        "if `export.formats` names it",
    ),
    Row("export/model.onnx", "The ONNX file.", EXPORTING, "if `export.formats` names it"),
    Row(
        "export/model_mediapipe.tflite",
        "The file for MediaPipe's TextClassifier, with labels and vocabulary inside.",
        EXPORTING,
        "if `export.formats` names it",
    ),
    Row(
        "export/labels.txt",
        "The names of the classes, one a line, in the order of the outputs.",
        EXPORTING,
    ),
    Row(
        "export/model.tflite",
        "The file to ship: a copy of one of the LiteRT files.",
        EXPORTING,
        "if one of them is within the limits of the config",
    ),
    Row(
        "export/device/",
        "What a device needs beside the file: preparation in Python, C++ and Kotlin, and images "
        "with the answers that they should get.",
        EXPORTING,
        "if there is a file to ship",
    ),
    Row(
        "search/state.json",
        "The trials so far, and the state of the tuner.",
        SEARCHING,
        "if the config has a search",
    ),
    Row(
        "search/trial_N/",
        "A trial: a run with `config.yaml`, `metrics.jsonl`, `tensorboard/` and `result.json`; the "
        "best ones (`search.keep`) with `model.keras`.",
        SEARCHING,
        "if the config has a search",
    ),
    Row(
        "fold_N/",
        "A fold: a run with `config.yaml`, `metrics.jsonl`, `tensorboard/`, `predictions.csv` of "
        "what it holds out, and `result.json`. `fold_all/`: the search on all examples.",
        ("cross_validate",),
    ),
    Row(
        "folds.csv",
        "The fold that holds out each file, by repetition: 0 is the fold in `fold_0/`.",
        ("cross_validate",),
    ),
    Row(
        "label_quality.csv",
        "All examples, the most doubtful label first. `quality`: probability of the label minus "
        "that of the likeliest other class, -1 to 1; `suspect`: 1 if the report shows it.",
        ("cross_validate",),
    ),
    Row("teacher/", "The first teacher, a run of folds with its model.", ("parallel",)),
    Row(
        "round_N/labels.csv",
        "The label of each unlabelled example, its confidence, and whether a student uses it.",
        ("parallel",),
    ),
    Row("round_N/labels.json", "The number of labels by class.", ("parallel",)),
    Row("round_N/segment_N/", "A student: a run with its model.", ("parallel",)),
    Row("round_N/segment_N.log", "What the student's process printed.", ("parallel",)),
    Row(
        "round_N/round.json",
        "The outcome of the round, as in `rounds` of result.json.",
        ("parallel",),
    ),
    Row("round_N/model.keras", "The merged model of the round.", ("parallel",)),
    Row(
        "NAME/",
        "An approach: a whole run in a folder such as `head/`, `finetune/` or `scratch/`.",
        ("compare",),
    ),
    Row(
        "checkpoint/",
        "What a killed run continues from.",
        EVERY,
        "until the run is finished",
    ),
)


def text() -> str:
    """Returns the page."""
    lines = [INTRO.strip(), "", "| file | what it holds | written by | exists |"]
    lines += ["| --- | --- | --- | --- |", *map(_row, ROWS)]
    return "\n".join([*lines, "", *_inside()]) + "\n"


def _row(row: Row) -> str:
    writers = "all that make a run" if row.writers == EVERY else ", ".join(row.writers)
    return f"| `{row.path}` | {row.holds} | {writers} | {row.only or 'always'} |"


def _inside() -> Iterator[str]:
    yield "## Runs inside a run"
    yield ""
    yield (
        "Trials, folds, students and approaches are runs in a folder of the run that needs them. "
        "All but approaches have no `data.json` and no exports, and never see the test split."
    )
