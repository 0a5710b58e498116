"""Training on texts: activations of different length are stored, computed again and resumed."""

import numpy as np
import pytest
from runs import shoot
from text_models import BERT, write_model

import tl_keras
from tl_keras.run.predictions import read as read_predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


@pytest.fixture(scope="module")
def tree(folder):
    """A config that starts from a folder with a tiny encoder."""
    write_model(folder / "encoder", BERT)
    return {
        "data": {"source": "intents", "examples_per_class": 20},
        "model": {"backbone": str(folder / "encoder")},
        "fit": {"epochs": 3, "freeze": "layer_0", "learning_rate": 1e-3, "margin": 0},
        "export": {"formats": []},
        "cache": {"path": str(folder / "cache")},
        "seed": 3,
    }


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
    per_token = BERT["hidden_size"] * (2 if features[name].dtype == "float16" else 4)
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
    shoot("finetune", tree, folder / "killed", folder / "killed" / "checkpoint" / "finetune.npy")
    tl_keras.finetune(tree, folder / "killed")
    whole = (stored.workdir / "predictions.csv").read_bytes()
    assert (folder / "killed" / "predictions.csv").read_bytes() == whole


def test_run_answers_without_the_vocabulary_that_it_was_trained_with(folder, tree, stored):
    """The vocabulary is copied into the run, so the folder that held it may be gone."""
    texts = ["where is my parcel", "thanks a lot"]
    before = tl_keras.predict(stored, texts)
    (folder / "encoder").rename(folder / "gone")
    assert tl_keras.predict(tl_keras.load(stored.workdir), texts) == before
