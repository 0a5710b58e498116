"""Chains: runs that start from an earlier run, with the same or other classes."""

import numpy as np
import pytest
from absl import logging
from handmade import rewrite
from runs import changed
from shapes import draw

import tl_keras
from tl_keras.approaches import evaluate, recommending
from tl_keras.report.advice.on_approaches import what_to_do
from tl_keras.report.read import read
from tl_keras.training.network import model as models

HEAD = {"fit": {"freeze": 1.0, "epochs": 0}, "export": {"formats": []}}


def chained(tree, folder, earlier, **sections):
    sections = {**HEAD, **sections}
    return changed(tree, data={"path": str(folder)}, model={"weights": str(earlier)}, **sections)


def test_rows_of_shared_classes_are_kept(finished_run):
    wanted = ("bar", "disc", "square")
    earlier = models.earlier_head(finished_run.workdir, wanted)
    assert earlier.names == ("disc", "square")
    kernel, bias = models.load(finished_run.workdir / "model.keras").layers[-2].get_weights()
    assert not earlier.kernel[:, 0].any() and earlier.bias[0] == 0
    # Only differences of logits matter, and these are as in the earlier head.
    np.testing.assert_allclose(
        earlier.kernel[:, 1] - earlier.kernel[:, 2], kernel[:, 1] - kernel[:, 2], atol=1e-6
    )
    assert earlier.bias[1] - earlier.bias[2] == pytest.approx(bias[1] - bias[2], abs=1e-6)
    assert models.earlier_head(finished_run.workdir, ("bar", "disc")) is None


def test_a_run_starts_from_the_head_of_the_earlier_run(
    quick, quick_run, pictures, tmp_path, monkeypatch
):
    folder = draw(tmp_path / "few", 4, seed=11)
    (folder / "cross").rename(folder / "plus")
    run = tl_keras.finetune(chained(quick, folder, quick_run.workdir), tmp_path / "run")
    assert run.result["model"]["classes_kept"] == ["disc", "square"]
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    evaluate.run(run, pictures)  # The earlier run was trained on them.
    assert any("the model was trained on 24 of 48 images" in line for line in said)
    plain = tl_keras.finetune(chained(quick, folder, "own"), tmp_path / "plain")
    assert "classes_kept" not in plain.result["model"]


def test_few_new_examples_do_not_undo_the_earlier_training(tree, finished_run, tmp_path):
    """One training image per class says less than the earlier run."""
    folder = draw(tmp_path / "new", 40, seed=12, noise=110)
    sparse = {
        "data": {"path": str(folder), "examples_per_class": 2, "test": 0.5},
        "image": {"augment": []},
    }
    loss = {}
    for name, weights in (("chain", finished_run.workdir), ("alone", "glyphs")):
        tree_of = changed(chained(tree, folder, weights), **sparse)
        loss[name] = tl_keras.finetune(tree_of, tmp_path / name).result["test"]["log_loss"]
    assert loss["chain"] < 0.9 * loss["alone"]


def test_compare_reports_the_gain_of_the_chain(quick, quick_run, tmp_path):
    folder = draw(tmp_path / "new", 12, seed=13)
    asked = {"approaches": ["finetune", "chain"], "chain": str(quick_run.workdir)}
    wanted = changed(
        quick,
        data={"path": str(folder)},
        compare={**asked, "learning_curve": False},
        **HEAD,
    )
    run = tl_keras.compare(wanted, tmp_path / "compared")
    found = run.result["chain"]
    scores = {
        name: own[split]["accuracy"]
        for split in ("test",)
        for name, own in run.result["approaches"].items()
    }
    assert found["test"]["difference"] == pytest.approx(scores["chain"] - scores["finetune"])
    advice = [line for line in what_to_do(read(run.workdir)) if "compare.chain" in line.do]
    start = "Score of the approach “chain” minus score of the approach “finetune”: "
    assert [line.why.startswith(start) for line in advice] == [True]
    assert start in run.report.read_text()


@pytest.mark.parametrize(
    ("won", "lost", "advice"),
    [
        (30, 1, "compare.chain: this gives a better model"),
        (1, 30, "compare.chain: this gives a worse model"),
        (3, 2, "makes no clear difference"),
    ],
)
def test_the_gain_of_a_chain_is_judged_by_validation(workdir, won, lost, advice):
    flags = np.zeros(60, bool)
    chain, alone = flags.copy(), flags.copy()
    chain[:won], alone[won : won + lost] = True, True
    answers = {
        name: {"val": {str(i): bool(right) for i, right in enumerate(own)}}
        for name, own in (("chain", chain), ("finetune", alone))
    }
    rewrite(workdir, chain=recommending.gain_of_chain(answers))
    (line,) = what_to_do(read(workdir))
    assert advice in line.do
