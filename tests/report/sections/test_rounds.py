"""Tests of the report's section on students and their teacher."""

import pytest
from handmade import rewrite, scores

from tl_keras.report.read import read
from tl_keras.report.sections import rounds
from tl_keras.run.result.teaching import Teacher


@pytest.mark.parametrize(
    ("won", "lost", "sentence"),
    [
        (30, 2, "The model is better than its teacher by 28.0 points on 100 test examples ("),
        (2, 30, "The model is worse than its teacher by 28.0 points on 100 test examples ("),
        (
            3,
            2,
            "The model is not significantly better than its teacher: the model's share of right "
            "answers minus the teacher's is 1.0 points on 100 test examples (",
        ),
    ],
)
def test_the_model_is_compared_with_its_teacher(workdir, won, lost, sentence):
    teacher = Teacher(split="test", accuracy=0.8, interval=[0.7, 0.9], n=100, won=won, lost=lost)
    rewrite(workdir, teacher=teacher, test=scores(100), pipeline="parallel")
    text = rounds.against_teacher(read(workdir))
    assert text.startswith(sentence) and text.endswith(").")
