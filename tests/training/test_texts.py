"""Training on texts: activations of different length are stored, computed again and resumed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import tl_keras
from tl_keras.run.predictions import read as read_predictions

SIZES = {"layers": 3, "width": 32, "heads": 2, "inner": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


@pytest.fixture(scope="module")
def tree(folder):
    """A config that starts from a small encoder, trained on the embedded texts for two epochs."""
    tree = {
        "data": {"source": "intents", "examples_per_class": 20},
        "model": {"backbone": "BERT", "options": SIZES, "weights": "none"},
        "fit": {"epochs": 2, "learning_rate": 1e-3},
        "text": {"length": 16},
        "export": {"formats": []},
        "cache": {"path": str(folder / "cache")},
        "seed": 3,
    }
    earlier = tl_keras.pretrain(tree, folder / "earlier")
    tree["model"] = {**tree["model"], "weights": str(earlier.workdir)}
    tree["data"] = {**tree["data"], "split_seed": 0}
    tree["fit"] = {"epochs": 3, "freeze": "layer_0", "learning_rate": 1e-3, "margin": 0}
    return tree


def answers(run) -> np.ndarray:
    rows = read_predictions(run).values()
    return np.array([[float(cell) for cell in cells[3:]] for cells in rows])


@pytest.fixture(scope="module")
def stored(folder, tree):
    return tl_keras.finetune(tree, folder / "stored")


def test_activations_are_stored_without_padding(stored):
    features = stored.result.features
    name = next(name for name in features if name.startswith("layer_0") and "train" in name)
    assert features[name].keep
    per_token = SIZES["width"] * (2 if features[name].dtype == "float16" else 4)
    tokens = features[name].bytes / per_token
    assert 3 * stored.result.data.train < tokens < 0.9 * 16 * stored.result.data.train


def test_stored_activations_give_the_same_answers_as_computing_them_again(folder, tree, stored):
    tree = {**tree, "cache": {"path": str(folder / "empty"), "max_bytes": 1.0}}
    again = tl_keras.finetune(tree, folder / "again")
    features = again.result.features
    assert not any(part.keep for name, part in features.items() if name.startswith("layer_0"))
    assert again.result.model.kept == stored.result.model.kept
    assert np.abs(answers(again) - answers(stored)).max() < 1e-4


def test_killed_training_resumes_to_the_same_answers(folder, tree, stored):
    from tl_keras.config import text as configs

    (folder / "killed.yaml").write_text(configs.to_yaml(configs.from_tree(tree)))
    line = [sys.executable, "-m", "tl_keras", "finetune"]
    line += [f"--config={folder / 'killed.yaml'}", f"--workdir={folder / 'killed'}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(line, **quiet)
    checkpoint = folder / "killed" / "checkpoint" / "finetune.npy"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
    assert subprocess.run(line, **quiet, env=dict(os.environ)).returncode == 0
    whole = (stored.workdir / "predictions.csv").read_bytes()
    assert (folder / "killed" / "predictions.csv").read_bytes() == whole


def test_run_answers_without_the_vocabulary_that_it_was_trained_with(folder, tree):
    """The vocabulary is copied into the run, so the folder that held it may be gone."""
    from tl_keras.modalities.text import tokens
    from tl_keras.modalities.text.tokens.vocabulary import write

    write(tokens.of("english"), folder / "words")
    own = {**tree, "text": {"length": 16, "vocabulary": str(folder / "words")}}
    own["fit"] = {"epochs": 0}
    run = tl_keras.finetune(own, folder / "moved")
    before = tl_keras.predict(run, ["where is my parcel", "thanks a lot"])
    (folder / "words").rename(folder / "gone")
    assert (
        tl_keras.predict(tl_keras.load(folder / "moved"), ["where is my parcel", "thanks a lot"])
        == before
    )
