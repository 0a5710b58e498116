"""The support of logits for an answer."""

import numpy as np

from tl_keras.tasks.classification import losses


def test_support_is_the_log_odds_of_the_preferred_class():
    logits = np.array([[1.0, 3.0, 2.0], [40.0, -40.0, 0.0]], np.float32)
    answers = np.array([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]])
    share = np.exp(2) / (np.exp(1) + np.exp(3) + np.exp(2))
    expected = [np.log(share / (1 - share)), 40.0]  # The probability of the second rounds to 1.
    np.testing.assert_allclose(losses.support(logits, answers), expected, rtol=1e-6)
