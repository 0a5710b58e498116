"""Students of the command parallel have a smaller backbone than their teacher."""

import csv
import shutil

import keras
import numpy as np
import pytest
from runs import FEW, assert_same_weights, changed
from text_models import BERT, WORDS, write_model

import tl_keras
from tl_keras.approaches import compare
from tl_keras.approaches.teaching import student
from tl_keras.config import text as configs
from tl_keras.jobs import job, local
from tl_keras.modalities.text.tokens import vocabulary
from tl_keras.run import marks, trained
from tl_keras.training.network import model as models

GOOD, BAD = ("good", "great", "fine", "nice"), ("awful", "dull", "sad", "poor")
NOUNS, UNUSED = ("film", "plot", "cast", "song"), ("zebra", "moon", "quilt", "rope")
TOKENS = (*WORDS[:15], *GOOD, *BAD, *NOUNS, *UNUSED, *WORDS[31:])
# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)


@pytest.fixture(scope="module", autouse=True)
def here():
    """Students are trained in this process, since starting others takes seconds."""

    def run(children, *_):
        for child in children:
            student.run_job(job.load(child.folder))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "run_children", run)
        yield


def write_texts(file):
    """Writes 80 texts, of which the test set has 20."""
    generator = np.random.default_rng(0)
    rows = [("text", "label", "split")]
    for i in range(80):
        words = (*generator.choice((GOOD, BAD)[i % 2], 3), *generator.choice(NOUNS, 3))
        rows.append((" ".join(words), ("good", "bad")[i % 2], "train" if i < 60 else "test"))
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return file


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    write_model(folder / "teacher", BERT, TOKENS)
    return {
        "data": {
            "source": "csv",
            "path": str(write_texts(folder / "texts.csv")),
            "modality": "text",
            "examples_per_class": 10,
            "unlabelled": "rest",
        },
        "text": {"tokens": 29},
        "model": {"backbone": str(folder / "teacher")},
        "fit": {"epochs": 1, "batch_size": 8},
        "cross_validate": {"folds": 2},
        "parallel": {
            "segments": 1,
            "student": {"backbone": str(folder / "teacher"), "options": {"layers": 1}},
        },
        "export": FEW,
        "cache": {"path": str(folder / "cache")},
    }


@pytest.fixture(scope="module")
def taught(texts, tmp_path_factory):
    """A finished run. Tests read it and do not change it."""
    return tl_keras.parallel(texts, tmp_path_factory.mktemp("runs") / "taught")


def test_the_model_is_a_student(taught):
    model = models.load(taught.workdir / "model.keras")
    names = {layer.name for layer in model.layers}
    assert "layer_0_norm" in names and "layer_1_norm" not in names
    assert model.get_layer("embeddings_tokens").input_dim == 29
    teacher = models.load(taught.workdir / "teacher" / "model.keras")
    assert teacher.get_layer("embeddings_tokens").input_dim == len(TOKENS)
    assert taught.result["model"]["parameters"] == model.count_params()
    assert taught.result["rounds"][0]["merged"] == "segment_0"
    assert "teacher" in taught.result["rounds"][0]["candidates"]


def test_the_vocabulary_is_of_the_training_texts(taught):
    kept = vocabulary.read(str(taught.workdir / "vocabulary"))
    assert set(kept.tokens) == set(TOKENS) - set(UNUSED)


def test_students_begin_with_the_rows_of_their_tokens(taught, texts):
    config = trained.of_students(configs.from_tree(texts), taught.workdir)
    table = models.pretrained(config.model, config.settings).get_layer("embeddings_tokens")
    whole = models.pretrained(config.model, configs.from_tree(texts).settings)
    rows = [TOKENS.index(token) for token in vocabulary.read(config.settings.vocabulary).tokens]
    np.testing.assert_array_equal(
        table.get_weights()[0], whole.get_layer("embeddings_tokens").get_weights()[0][rows]
    )


def test_the_model_is_used_with_its_own_vocabulary(taught):
    """The answer to a text of the test set is the one in predictions.csv."""
    with (taught.workdir / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        row = next(row for row in csv.DictReader(stream) if row["split"] == "test")
    with open(configs.load(taught.workdir / "config.yaml").data.path, encoding="utf-8") as stream:
        text = list(csv.reader(stream))[int(row["file"].removeprefix("row ")) - 1][0]
    (found,) = tl_keras.predict(taught, [text])
    assert found["probabilities"]["good"] == pytest.approx(float(row["p:good"]), abs=1e-5)
    assert taught.result["export"]["float32"]["status"] == "ok"


def test_a_finished_run_is_exported_again(taught, texts):
    again = tl_keras.parallel(
        changed(texts, export={"formats": ["float32", "float16"]}), taught.workdir
    )
    assert again.result["export"]["float16"]["status"] == "ok"
    assert again.result["model"] == taught.result["model"]


def test_later_runs_start_from_a_student(taught, texts):
    config = configs.from_tree(
        changed(
            texts,
            text={"vocabulary": str(taught.workdir / "vocabulary"), "tokens": None},
            model={"options": {"layers": 1}, "weights": str(taught.workdir)},
            parallel={"student": None},
        )
    )
    backbone = models.pretrained(config.model, config.settings)
    of_student = models.load(taught.workdir / "model.keras").get_weights()
    for found, expected in zip(backbone.get_weights(), of_student, strict=False):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="the run of these weights has .* {'layers': 1}"):
        config = configs.from_tree(changed(texts, model={"weights": str(taught.workdir)}))
        models.pretrained(config.model, config.settings)


def test_a_run_stopped_after_its_labels_ends_as_an_unbroken_one(taught, texts, tmp_path):
    workdir = tmp_path / "run"
    marks.put(workdir, "run")
    for name in ("teacher", "vocabulary"):
        shutil.copytree(taught.workdir / name, workdir / name)
    for name in ("data.json", "findings.json"):
        shutil.copy(taught.workdir / name, workdir / name)
    (workdir / "config.yaml").write_text(configs.to_yaml(configs.from_tree(texts)))
    (workdir / "round_0").mkdir()
    for name in ("labels.csv", "labels.json"):
        shutil.copy(taught.workdir / "round_0" / name, workdir / "round_0" / name)
    run = tl_keras.parallel(texts, workdir)
    assert_same_weights(run.workdir, taught.workdir)
    assert run.result["model"] == taught.result["model"]


def small(file, widths):
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((None, None, 3))
    for width in widths:
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(x)
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(file)
    return str(file)


def test_students_of_pictures_are_averaged(quick, tmp_path):
    backbone = small(tmp_path / "small.keras", (4, 8))
    texts = changed(
        quick,
        data={"examples_per_class": 8, "unlabelled": "rest"},
        fit={"epochs": 1},
        cross_validate={"folds": 2},
        parallel={"student": {"backbone": backbone}},
        export=FEW,
    )
    run = tl_keras.parallel(texts, tmp_path / "run")
    (record,) = run.result["rounds"]
    assert set(record["candidates"]) == {"segment_0", "segment_1", "average", "ensemble", "teacher"}
    assert record["merged"] != "teacher"
    assert run.result["model"]["backbone"] == backbone
    assert (
        run.result["model"]["weights_digest"]
        == run.result["backbones"]["students"]["weights_digest"]
    )
    assert "have a backbone of their own: small." in run.report.read_text()


WRONG = [
    ({"student": {"backbone": "MobileNt"}}, "parallel.student: .*did you mean 'MobileNet'"),
    ({"student": {"options": {}}}, "parallel.student: expected the field 'backbone'"),
    (
        {"student": {"backbone": "MobileNet", "weights": "none"}},
        "parallel.student: .* received none",
    ),
    ({"student": {"backbone": "MobileNet", "option": {}}}, "parallel.student: option: no such fi"),
    ({"student": {"backbone": "StaticEmbedding"}}, "parallel.student: .* modality 'text'"),
]


@pytest.mark.parametrize(("section", "message"), WRONG)
def test_wrong_students_are_refused(section, message, quick):
    with pytest.raises(ValueError, match=message):
        configs.from_tree(changed(quick, parallel=section))


def test_compare_runs_parallel_with_the_students(texts):
    asked = changed(texts, compare={"approaches": ["parallel"]})
    (approach,) = compare.planned(configs.from_tree(asked))
    assert approach.config.of_students.model.options == {"layers": 1}


def test_only_students_have_fewer_tokens(texts):
    with pytest.raises(ValueError, match=r"text.tokens: .* expected null, received 29"):
        configs.from_tree(changed(texts, parallel={"student": None}))
