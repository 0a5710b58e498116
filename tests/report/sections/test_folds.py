"""Tests of the report's section on the folds of a cross-validation."""

import pytest
from handmade import rewrite

from tl_keras.report.facts import fold_strengths
from tl_keras.report.read import read
from tl_keras.report.sections import folds
from tl_keras.run.result.folds import CrossValidation, FoldRecord, Spread
from tl_keras.run.result.training import Chosen

WARNING = "The folds chose very different regularisation"


def fold(number: int, strength: float | None, kept: str = "head") -> FoldRecord:
    chosen = {} if strength is None else {"regularisation": strength}
    sizes = {"repeat": 0, "train": 60, "val": 12, "n": 18, "interval": [0.3, 0.7]}
    name = f"fold_{number}"
    return FoldRecord(fold=name, kept=kept, seconds=9.0, accuracy=0.5, **sizes, **chosen)


@pytest.fixture
def of_folds(workdir):
    """A function that returns the section for folds with these strengths."""

    def section(*strengths: float | None) -> str:
        spread = {"accuracy": Spread(mean=0.5, deviation=0.1)}
        summary = CrossValidation(folds=len(strengths), repeats=1, final="refit", scores=spread)
        chosen = Chosen(kept="head", regularisation=3.162, temperature=2.23, epochs=0)
        records = [fold(i, strength) for i, strength in enumerate(strengths)]
        parts = {"folds": records, "cross_validation": summary, "chosen": chosen}
        rewrite(workdir, pipeline="cross_validate", **parts)
        return folds.folds(read(workdir))

    return section


def test_folds_with_very_different_regularisation_are_warned_of(of_folds):
    text = of_folds(10.0, 0.01, 31.6228)
    assert f"{WARNING}, from 0.01 to 31.6; the final model has 3.16." in text
    assert "one fold on only 12." in text
    assert WARNING not in of_folds(10.0, 1.0, 31.6228)
    assert WARNING in of_folds(0.1, 10.0) and WARNING not in of_folds(0.316, 10.0)


def test_the_table_shows_the_strength_of_each_fold(of_folds):
    text = of_folds(10.0, 0.01)
    assert ">Regularisation</th>" in text and ">0.01</td>" in text and ">10</td>" in text
    assert "Regularisation" not in of_folds(None, None)


def test_only_folds_that_kept_the_head_are_warned_of():
    tuned = [fold(0, 0.01, "finetuned"), fold(1, 31.6)]
    assert fold_strengths.far_apart(tuned, None) == ""
    assert "the final model has" not in fold_strengths.far_apart([fold(0, 1.0), fold(1, 1e3)], None)
