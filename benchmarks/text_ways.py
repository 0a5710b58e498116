"""The ways to train a classifier of texts that benchmarks/text.py compares."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plain_minilm
import text_sets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from text_sets import Texts

import tl_keras
from tl_keras.run.quiet import start_tensorflow

start_tensorflow()

import keras  # noqa: E402

RATES, EPOCHS = (2e-5, 1e-4, 3e-4), (3, 6, 10)  # Of the plain Keras way.
PLAIN_VAL = 0.15
STRENGTHS = np.logspace(-2, 4, 13)  # C of the logistic regressions
PAIRS = 2560  # Largest number of pairs of SetFit.


@dataclass(frozen=True)
class Job:
    """One training: the labelled texts, the texts to test, and what the ways need.

    Attributes:
      folder: an empty folder for files.
      minilm: folder of MiniLM-L6 in Hugging Face's form.
      setfit: Python of an environment that has setfit.
    """

    train: Texts
    test: Texts
    classes: list[str]
    seed: int
    folder: Path
    minilm: Path
    setfit: str | None


# The numbers of the predicted classes of the test texts, and facts about the training.
Answer = tuple[np.ndarray, dict[str, Any]]


def tfidf(job: Job) -> Answer:
    """Trains a logistic regression on TF-IDF of words and pairs of words."""
    words = ("features", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True))
    model = searched(job.seed, words).fit(job.train.texts, job.train.labels)
    return model.predict(job.test.texts), _facts(model)


def frozen(job: Job) -> Answer:
    """Trains a logistic regression on the normalised, mean-pooled features of MiniLM."""
    backbone = plain_minilm.backbone(job.minilm)
    train, test = (
        _features(backbone, plain_minilm.token_ids(job.minilm, part.texts))
        for part in (job.train, job.test)
    )
    model = searched(job.seed).fit(train, job.train.labels)
    return model.predict(test), _facts(model)


def searched(seed: int, *before: tuple[str, Any]) -> GridSearchCV:
    """Returns a logistic regression, after other steps, whose C cross-validation chooses."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = Pipeline([*before, ("regression", LogisticRegression(max_iter=2000))])
    grid = {"regression__C": STRENGTHS}
    return GridSearchCV(model, grid, cv=folds, scoring="neg_log_loss")


def _facts(model: GridSearchCV) -> dict[str, Any]:
    return {"C": float(model.best_params_["regression__C"])}


def _outputs(model: keras.Model, ids: list[np.ndarray]) -> np.ndarray:
    """Returns the model's outputs for texts; texts of similar length share a batch."""
    order = np.argsort([len(text) for text in ids], kind="stable")
    batches = plain_minilm.batches([ids[i] for i in order], np.zeros(len(ids), np.int64), None)
    outputs = model.predict(batches, verbose=0)
    return outputs[np.argsort(order)]


def _features(backbone: keras.Model, ids: list[np.ndarray]) -> np.ndarray:
    pooled = _outputs(backbone, ids)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def plain(job: Job) -> Answer:
    """Trains all layers with AdamW; learning rate and epochs have the best validation accuracy."""
    ids, test = (
        plain_minilm.token_ids(job.minilm, job.train.texts),
        plain_minilm.token_ids(job.minilm, job.test.texts),
    )
    train_rows, val_rows = _validation(job)
    best: Any = None
    for rate in RATES:
        keras.utils.set_random_seed(job.seed)
        backbone = plain_minilm.backbone(job.minilm)
        outputs = keras.layers.Dense(len(job.classes))(backbone.output)
        model = keras.Model(backbone.input, outputs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(rate), loss, metrics=["accuracy"])
        data = plain_minilm.batches(
            [ids[i] for i in train_rows], job.train.labels[train_rows], job.seed
        )
        val = plain_minilm.batches([ids[i] for i in val_rows], job.train.labels[val_rows], None)
        trained = 0
        for epochs in EPOCHS:  # At a constant rate, fewer epochs are the start of more epochs.
            model.fit(data, initial_epoch=trained, epochs=epochs, verbose=0)
            trained = epochs
            measured = model.evaluate(val, verbose=0, return_dict=True)
            score = measured["accuracy"], -measured["loss"]
            if best is None or score > best[0]:
                best = score, rate, epochs, model.get_weights()
    score, rate, epochs, weights = best
    model.set_weights(weights)
    facts = {"rate": rate, "epochs": epochs, "val_accuracy": score[0]}
    return _outputs(model, test).argmax(-1), facts


def _validation(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of the labelled texts to train on, and the rows to validate on."""
    generator = np.random.default_rng(job.seed)
    val = []
    for label in range(len(job.classes)):
        rows = generator.permutation(np.flatnonzero(job.train.labels == label))
        val.append(rows[: max(1, round(PLAIN_VAL * len(rows)))])
    held_out = np.concatenate(val)
    return np.setdiff1d(np.arange(len(job.train.labels)), held_out), held_out


def ours(job: Job) -> Answer:
    """Runs tl_keras.cross_validate with its defaults; the final model is exported and proved."""
    tree = {
        **plain_minilm.config(_write_table(job), job.minilm),
        "export": {"formats": ["float32"]},
        "cache": {"path": str(job.folder / "cache")},
        "seed": job.seed,
    }
    run = tl_keras.cross_validate(tree, job.folder / "run")
    with (run.workdir / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    # The cells of a table are named `row 2` (after the head), `row 3` ...
    answers = {int(row["file"].removeprefix("row ")): row["prediction"] for row in rows}
    first = 2 + len(job.train.texts)
    given = [answers.get(first + i) for i in range(len(job.test.texts))]
    numbers = {name: number for number, name in enumerate(job.classes)}
    predicted = np.array([numbers.get(name, -1) for name in given])
    result = json.loads((run.workdir / "result.json").read_text(encoding="utf-8"))
    facts = {
        "unanswered": given.count(None),
        "chosen": result["chosen"],
        "folds": _fold_candidates(run.workdir),
        "phases": result["seconds"],
    }
    return predicted, facts


def _fold_candidates(workdir: Path) -> list[dict[str, Any]]:
    """Returns the validation loss and accuracy of each candidate of each fold."""
    results = [json.loads(path.read_text()) for path in sorted(workdir.glob("fold_*/result.json"))]
    return [
        {
            name: [round(record["log_loss"], 4), round(record["accuracy"], 4)]
            for name, record in result["model"]["candidates"].items()
        }
        for result in results
    ]


def _write_table(job: Job) -> Path:
    """Writes the labelled texts, and the texts to test, and returns the path of the table."""
    path = job.folder / "texts.csv"
    text_sets.write_splits({"train": job.train, "test": job.test}, job.classes, path)
    return path


def setfit(job: Job) -> Answer:
    """Runs SetFit with the same MiniLM in its own environment; see benchmarks/text_setfit.py."""
    if job.setfit is None:
        raise SystemExit("setfit needs --setfit, the Python of an environment that has setfit")
    request = {
        "texts": job.train.texts,
        "labels": job.train.labels.tolist(),
        "test": job.test.texts,
        "model": str(job.minilm),
        "seed": job.seed,
        "iterations": min(20, max(1, PAIRS // (2 * len(job.train.texts)))),
    }
    file, answer = job.folder / "request.json", job.folder / "answer.json"
    file.write_text(json.dumps(request))
    script = Path(__file__).with_name("text_setfit.py")
    subprocess.run([job.setfit, str(script), str(file), str(answer)], check=True, stdout=sys.stderr)
    answered = json.loads(answer.read_text())
    return np.array(answered.pop("predicted")), {"iterations": request["iterations"], **answered}


WAYS: dict[str, Callable[[Job], Answer]] = {
    "tfidf": tfidf,
    "frozen": frozen,
    "plain": plain,
    "ours": ours,
    "setfit": setfit,
}
