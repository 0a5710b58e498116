"""The budget of a search is shown as a user would write it."""

import pytest

from tl_keras.config.search import SearchConfig
from tl_keras.run.budget import limits


@pytest.mark.parametrize(
    ("trials", "minutes", "words"),
    [
        (12, 0.38634583333333333, "12 trials or 0.39 minutes"),
        (1, None, "1 trial"),
        (0, 1, "1 minute"),
        (0, 90, "90 minutes"),
        (0, 1e-6, "1e-06 minutes"),
    ],
)
def test_a_budget_is_rounded(trials, minutes, words):
    assert limits(SearchConfig(trials=trials, minutes=minutes)) == words
