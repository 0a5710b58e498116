"""Comparisons end to end: the choice of approaches, the budget and the recommendation."""

import json

import numpy as np
import pytest
from listed import assert_listed
from runs import FEW, changed

import tl_keras
from tl_keras.approaches import compare, ranking
from tl_keras.config import text as configs
from tl_keras.report.advice.on_approaches import more
from tl_keras.run import folder as runs
from tl_keras.run.run import Run


@pytest.fixture(scope="module")
def wanted(quick) -> dict:
    """The config of a comparison that takes seconds."""
    return changed(
        quick,
        fit={"epochs": 2},
        search={"trials": 2, "tuner": "random"},
        cross_validate={"folds": 2},
        compare={"approaches": ["head", "cross_validate", "scratch"], "minutes": 60.0},
        export=FEW,
    )


@pytest.fixture(scope="module")
def compared(wanted, tmp_path_factory):
    """A finished comparison. Tests read it and do not change it."""
    asked = changed(wanted)
    other = {"backbone": "MobileNet", "options": {"alpha": 0.5}, "weights": "glyphs"}
    asked["compare"]["backbones"] = [other]
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # Without a budget, which a slow machine might use up.
        patch.setitem(compare.FROM_SCRATCH, "epochs", 3)
        return tl_keras.compare(asked, tmp_path_factory.mktemp("runs") / "compared")


def names(config) -> list[str]:
    return [entry.name for entry in compare.planned(configs.from_tree(config))]


def test_each_approach_is_an_ordinary_run(compared):
    names = ["head", "cross_validate", "backbone_2", "scratch"]
    assert list(compared.result["approaches"]) == names
    for name in names:
        assert runs.load_finished(compared.workdir / name).report.is_file()
    assert compared.result["approaches"]["head"]["bytes"] > 0
    assert_listed(compared)


def test_all_approaches_have_the_same_splits(compared):
    held_out = [
        json.loads((compared.workdir / name / "data.json").read_text())["splits"]["test"]
        for name in compared.result["approaches"]
    ]
    assert all(own == held_out[0] for own in held_out)


def test_the_same_command_returns_at_once(compared):
    stamp = (compared.workdir / "result.json").stat().st_mtime_ns
    again = tl_keras.compare(compared.config, compared.workdir)
    assert (again.workdir / "result.json").stat().st_mtime_ns == stamp
    more = compared.config.search.model_copy(update={"trials": 9})
    with pytest.raises(ValueError, match="trials: 2 in the workdir, 9 now; the command 'compare'"):
        tl_keras.compare(compared.config.model_copy(update={"search": more}), compared.workdir)


def test_the_best_on_validation_is_recommended(compared):
    found = compared.result["recommended"]
    best, against = found["best"], found["val"]["against"]
    assert set(against) == set(compared.result["approaches"]) - {best}
    assert all(own["won"] >= own["lost"] for own in against.values())


def test_time_to_reach_scratch_is_recorded(compared):
    own = compared.result["approaches"]
    assert own["scratch"]["to_scratch"] is not None
    if own["head"]["val"]["accuracy"] >= own["scratch"]["val"]["accuracy"]:
        assert own["head"]["to_scratch"] < own["scratch"]["training"]


def test_page_names_the_recommendation_and_its_reason(compared):
    page = compared.report.read_text()
    assert f"Use the approach {compared.result['recommended']['best']}" in page
    for part in ("Approaches", "Differences", "Backbones", "Learning curve", "LogME"):
        assert part in page
    assert not (compared.workdir / "MODEL_CARD.md").exists()


def test_learning_curve_uses_growing_parts(compared):
    curve = compared.result["learning_curve"]
    assert [point["share"] for point in curve] == list(ranking.SHARES)
    assert curve[-1]["n"] == compared.result["data"]["train"]
    assert [p["n"] for p in curve] == sorted(p["n"] for p in curve)


def test_a_comparison_has_no_model_of_its_own(compared):
    with pytest.raises(ValueError, match=r"comparison of runs, which has no .* expected the"):
        tl_keras.predict(compared, ["a.png"])


def test_budget_is_shared_until_it_is_used_up(wanted, tmp_path, monkeypatch):
    config = configs.from_tree(changed(wanted, compare={"minutes": 2.0, "approaches": "auto"}))
    run = Run(tmp_path, config, "compare")
    every = compare.planned(config)
    run.add(seconds={"head": 60.0})
    bounded = {e.name: compare._bounded(run, e, 2) for e in every}
    assert bounded["scratch"].fit.minutes == pytest.approx(0.5)
    assert bounded["search"].search.minutes == pytest.approx(0.5)
    assert bounded["cross_validate"] == next(e for e in every if e.name == "cross_validate").config
    run.add(seconds={"head": 120.0})
    assert compare._bounded(run, every[0], 2) is None


def test_failed_approaches_are_named_and_the_others_run(wanted, tmp_path):
    asked = changed(
        wanted,
        cross_validate={"folds": 90},
        compare={"approaches": ["head", "cross_validate"], "learning_curve": False},
    )
    run = tl_keras.compare(asked, tmp_path / "run")
    assert list(run.result["approaches"]) == ["head"]
    assert "cross_validate.folds" in run.result["left_out"]["cross_validate"]
    assert "learning_curve" not in run.result


def test_auto_compares_all_approaches_that_the_config_allows(wanted, tmp_path):
    auto = changed(wanted, compare={"approaches": "auto"})
    expected = ["head", "finetune", "search", "full", "cross_validate", "scratch"]
    assert names(auto) == expected
    assert "full" not in names(changed(auto, fit={"freeze": 0.0}))  # The same as finetune.
    words = {"data": {"source": "intents"}, "model": {"backbone": "StaticEmbedding"}}
    assert "full" not in names(words)
    unlabelled = changed(auto, data={"unlabelled": str(tmp_path)})
    assert names(unlabelled) == [*expected[:-1], "parallel", "scratch"]
    chain = changed(auto, compare={"chain": str(tmp_path)})
    assert "chain" in names(chain)
    entry = next(e for e in compare.planned(configs.from_tree(chain)) if e.name == "chain")
    assert entry.config.model.weights == str(tmp_path)
    assert all(e.config.data.unlabelled is None for e in compare.planned(configs.from_tree(auto)))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"compare": {"approaches": ["chain"]}}, "compare.chain: expected the folder of an"),
        ({"compare": {"approaches": ["heads"]}}, "received 'heads'; did you mean 'head'?"),
        ({"compare": {"backbones": [{"backbone": "Mobile"}]}}, "compare.backbones: backbone_2: .*"),
        (
            {"model": {"weights": "none"}, "fit": {"freeze": 0}, "search": {"trials": 0}},
            "model.weights: compare needs",
        ),
        (
            {"compare": {"approaches": ["parallel"]}},
            "data.unlabelled: the approach 'parallel'",
        ),
        ({"compare": {"chain": "/nowhere"}}, "compare.chain: .* does not exist"),
        ({"compare": {"approaches": []}}, "compare.approaches"),
    ],
)
def test_bad_comparisons_are_refused(wanted, tmp_path, sections, message):
    with pytest.raises(ValueError, match=message):
        tl_keras.compare(changed(wanted, **sections), tmp_path / "refused")


def test_power_law_predicts_the_gain_of_more_examples():
    curve = [(n, 1 - 2 * n**-0.5) for n in (25, 50, 100, 200)]
    n, gain = more(curve)
    assert n == 400
    assert gain == pytest.approx(2 * 200**-0.5 - 2 * 400**-0.5)
    assert more([(n, 0.9) for n in (25, 50, 100)])[1] == pytest.approx(0)
    assert more(curve[:2]) is None
    assert more([(n, 1.0) for n in (25, 50, 100)]) is None


def test_parts_of_a_curve_keep_every_class():
    labels = np.array([0] * 40 + [1] * 3)
    rows = ranking._subset(labels, 0.1, 0)
    assert np.bincount(labels[rows]).tolist() == [4, 1]
    assert list(rows) != list(ranking._subset(labels, 0.1, 1))
