"""Runs on a backbone of the user: their records, resuming and errors."""

import copy
import shutil

import keras
import numpy as np
import pytest
from own_models import SETTINGS, residual, save

import tl_keras
from tl_keras import cli
from tl_keras.approaches import audit, finetune
from tl_keras.backbones import from_file
from tl_keras.config import text as configs
from tl_keras.run.folder import opened
from tl_keras.training import backbone as backbones
from tl_keras.training import fit as train
from tl_keras.training.network import freeze, prefixes
from tl_keras.training.network import model as models
from tl_keras.training.network.digests import digest, graph_digest

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
# Delete when https://github.com/keras-team/keras no longer warns in `model.save`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)


@pytest.fixture(scope="module")
def own_tree(quick, tmp_path_factory):
    """The config of a run on a residual network from a file, and that file."""
    keras.utils.set_random_seed(0)
    _, file = save(residual(), tmp_path_factory.mktemp("file") / "mine.keras")
    return {**quick, "model": {"backbone": file}, "export": {"formats": ["float32"]}}


@pytest.fixture(scope="module")
def own_run(own_tree, tmp_path_factory):
    """A finished run of `own_tree`, whose backbone file is removed. Tests only read the run."""
    gone = tmp_path_factory.mktemp("gone") / "mine.keras"
    shutil.copy(own_tree["model"]["backbone"], gone)
    tree = {**own_tree, "model": {"backbone": str(gone)}}
    run = tl_keras.finetune(tree, tmp_path_factory.mktemp("runs") / "own")
    gone.unlink()
    return run


def test_run_records_the_backbone_it_started_with(own_run, own_tree):
    model, file = own_run.result["model"], own_tree["model"]["backbone"]
    assert model["backbone"] == own_run.config.model.backbone
    assert (model["weights"], model["block"], model["cut"]) == ("own", "out_1", "out_1")
    backbone = from_file.build(file, None, SETTINGS)
    assert model["weights_digest"] == digest(backbone)
    assert model["graph_digest"] == graph_digest(backbone)
    assert own_run.result["export"]["float32"]["status"] == "ok"
    saved = configs.load(own_run.workdir / "config.yaml")
    assert (saved.model.weights, saved.model.preprocessing) == ("own", None)


def test_only_layers_above_the_cut_are_trained_and_no_batch_norm(own_run, own_tree):
    began = from_file.build(own_tree["model"]["backbone"], None, SETTINGS)
    ended = models.load(own_run.workdir / "model.keras")
    assert own_run.result["model"]["kept"] in ("head", "mix", "finetuned")
    for name in ("stem", "conv_1", "norm_1", "norm_2", "norm_3"):
        pairs = zip(
            began.get_layer(name).weights[-2:], ended.get_layer(name).weights[-2:], strict=True
        )
        for a, b in pairs:  # The statistics of batch norm.
            np.testing.assert_array_equal(a, b)


def test_finished_run_needs_no_backbone_file(own_run, pictures, tmp_path, capsys):
    image = next((pictures / "disc").iterdir())
    (row,) = tl_keras.predict(own_run, [image])
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert cli.main(["evaluate", f"--workdir={own_run.workdir}", f"--data={pictures}"]) == 0
    assert '"accuracy"' in capsys.readouterr().out
    shutil.copytree(own_run.workdir, tmp_path / "run")
    formats = "export.formats=[saved_model,float32,float16,dynamic,int8]"
    assert cli.main(["export", f"--workdir={tmp_path / 'run'}", "--set", formats]) == 0
    exported = tl_keras.load(tmp_path / "run").result["export"]
    assert {entry["status"] for entry in exported.values()} == {"ok"}
    assert len(exported) == 5


class Killed(BaseException):
    """Simulates a kill, where a real one would be too slow to test."""


def _kill_in_the_first_epoch(tree, workdir, monkeypatch):
    save = train.State.save

    def save_then_die(self, *arguments):
        save(self, *arguments)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(train.State, "save", save_then_die)
        tl_keras.finetune(tree, workdir)


def test_killed_run_ends_as_an_unbroken_one_and_refuses_another_backbone(
    own_run, own_tree, tmp_path, monkeypatch
):
    file = tmp_path / "a.keras"
    shutil.copy(own_tree["model"]["backbone"], file)
    tree = {**own_tree, "model": {"backbone": str(file)}}
    _kill_in_the_first_epoch(tree, tmp_path / "run", monkeypatch)
    for layer, name, value in [("stem", "bias", np.ones(8)), ("out_3", "negative_slope", 0.1)]:
        model = keras.models.load_model(file)
        if name == "bias":
            model.get_layer(layer).bias.assign(value)
        else:
            setattr(model.get_layer(layer), name, value)
        model.save(file)
        message = (
            r"^model\.backbone: '.*a\.keras' has changed since the run in '.*run' began; restore it"
        )
        with pytest.raises(ValueError, match=message):
            tl_keras.finetune(tree, tmp_path / "run")
        shutil.copy(own_tree["model"]["backbone"], file)
    keras.models.load_model(file).save(file)  # The same model, but with other bytes.
    run = tl_keras.finetune(tree, tmp_path / "run")
    ended, expected = (models.load(x.workdir / "model.keras") for x in (run, own_run))
    assert digest(ended) == digest(expected)


def test_resumed_run_names_what_changed_backbone_or_weights(own_tree, tmp_path):
    file, weights = str(tmp_path / "a.keras"), str(tmp_path / "b.weights.h5")
    shutil.copy(own_tree["model"]["backbone"], file)
    model = from_file.build(file, None, SETTINGS)
    model.save_weights(weights)
    config = configs.from_tree({**own_tree, "model": {"backbone": file, "weights": weights}})
    with opened(config, tmp_path / "run", "finetune") as run:
        backbones.begin(run)
        model.get_layer("stem").bias.assign(np.ones(8))
        model.save_weights(weights)
        with pytest.raises(ValueError, match=r"^model\.weights: '.*b\.weights\.h5' has changed"):
            backbones.begin(run)
        other = keras.models.load_model(file)
        other.get_layer("out_3").negative_slope = 0.1
        other.save(file)
        with pytest.raises(ValueError, match=r"^model\.backbone: '.*a\.keras' has changed"):
            backbones.begin(run)


@pytest.mark.parametrize("weights", ["own", "none"])
def test_half_precision_trains(own_tree, tmp_path, weights):
    fit = {**own_tree["fit"], "mixed_precision": True, "epochs": 1, "freeze": "auto"}
    tree = {**own_tree, "fit": fit, "model": {**own_tree["model"], "weights": weights}}
    run = tl_keras.finetune(tree, tmp_path / "run")
    model = run.result["model"]
    assert model["weights"] == weights
    assert ("weights_digest" in model, model["kept"] == "scratch") == (
        *(weights == "own", weights == "none"),
    )
    ended = models.load(run.workdir / "model.keras")
    assert {layer.compute_dtype for layer in ended.layers} <= {"float32", "uint8"}
    assert run.result["export"]["float32"]["status"] == "ok"


def test_backbone_trained_on_the_test_split_is_refused(own_run, own_tree, tmp_path):
    tree = copy.deepcopy(own_tree)
    tree["model"] = {"backbone": str(own_run.workdir / "model.keras")}
    tree["data"]["split_seed"] = 1
    with pytest.raises(ValueError, match=r"model\.backbone: .* was trained on \d+ images of val"):
        tl_keras.finetune(tree, tmp_path / "run")


def test_weights_that_are_not_finite_are_a_user_error(own_tree, tmp_path):
    tree = _with_bias(own_tree, np.nan, tmp_path)
    message = (
        r"^model\.backbone: '.*a\.keras' has weights that are NaN or infinite in layer 'conv_3'"
    )
    with pytest.raises(ValueError, match=message):
        tl_keras.finetune(tree, tmp_path / "run")


def _with_bias(tree, bias, folder):
    model = keras.models.load_model(tree["model"]["backbone"])
    model.get_layer("conv_3").bias.assign([bias] + 7 * [0.0])
    _, file = save(model, folder / "a.keras")
    return {**tree, "model": {"backbone": file}}


@pytest.mark.parametrize("pipeline", [finetune, audit])
def test_features_that_are_not_finite_are_a_user_error(own_tree, tmp_path, pipeline):
    config = configs.from_tree(_with_bias(own_tree, 3e38, tmp_path))
    message = (
        r"^model\.backbone: '.*a\.keras' with weights 'own' computes features that are NaN or "
        r"infinite for (\d+) of \1 images of train, the first '.*\.png'; .*check the weights"
    )
    for _ in ("computed", "from the cache"):
        with pytest.raises(ValueError, match=message):
            pipeline.run(config, tmp_path / "run")


def test_activations_of_another_graph_with_the_same_file_name_are_not_shared(own_tree):
    config = configs.from_tree(own_tree)
    first = from_file.build(config.model.backbone, None, SETTINGS)
    other = from_file.build(config.model.backbone, "tf", SETTINGS)
    cut = [freeze.split(model, "out_1")[0] for model in (first, first, other)]
    one, same, another = (prefixes._identity(prefix, config.model) for prefix in cut)
    assert one == same != another
