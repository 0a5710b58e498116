"""The dropout layer of the suffix, whose rate can change after tracing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tl_keras.training.suffix import Dropout

ONES = np.ones((64, 256), np.float32)


@pytest.fixture
def dropout() -> Dropout:
    """A dropout layer that was traced with one rate and now has another."""
    layer = Dropout(keras.layers.Dropout(0.1))
    layer.run = tf.function(lambda x: layer(x, training=True))
    layer.run(ONES)
    layer.rate.assign(0.4)
    return layer


def test_dropout_uses_the_rate_set_after_tracing(dropout):
    shown = dropout.run(ONES).numpy()
    assert np.mean(shown == 0) == pytest.approx(0.4, abs=0.02)
    assert np.unique(shown) == pytest.approx([0, 1 / 0.6])


def test_dropout_is_determined_by_its_seed(dropout):
    state = dropout.seed_generator.state
    first = state.numpy()
    shown = [dropout.run(ONES).numpy() for _ in range(2)]
    assert (shown[0] != shown[1]).any()
    state.assign(first)
    np.testing.assert_array_equal(dropout.run(ONES), shown[0])


@pytest.mark.parametrize("training", [True, False])
def test_dropout_with_rate_0_or_in_inference_changes_nothing(dropout, training):
    if training:
        dropout.rate.assign(0)
    np.testing.assert_array_equal(dropout(ONES, training=training), ONES)


def test_dropout_keeps_half_precision():
    layer = Dropout(keras.layers.Dropout(0.3, dtype="mixed_bfloat16"))
    assert layer(ONES, training=True).dtype == tf.bfloat16
