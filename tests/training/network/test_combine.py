import keras
import numpy as np
import pytest

from tl_keras.training.network import combine


def network(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8,), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Dense(6, "relu", name="dense")(x)
    x = keras.layers.Dense(3, "softmax", name="probabilities")(x)
    return keras.Model(inputs, x)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 8)).astype(np.uint8)


def test_average_has_the_mean_of_all_weights():
    weights = [network(seed).get_weights() for seed in range(3)]
    merged = combine.average([network(seed) for seed in range(3)])
    for i, value in enumerate(merged.get_weights()):
        expected = np.mean([values[i] for values in weights], axis=0)
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_average_of_a_model_with_itself_is_the_model(images):
    expected = network(0).predict(images, verbose=0)
    merged = combine.average([network(0), network(0)])
    np.testing.assert_allclose(merged.predict(images, verbose=0), expected, atol=1e-6)


def test_ensemble_gives_the_mean_of_the_probabilities(images, tmp_path):
    answers = [network(seed).predict(images, verbose=0) for seed in range(3)]
    merged = combine.ensemble([network(seed) for seed in range(3)])
    np.testing.assert_allclose(
        merged.predict(images, verbose=0), np.mean(answers, axis=0), atol=1e-6
    )
    merged.save(tmp_path / "merged.keras")
    loaded = keras.models.load_model(tmp_path / "merged.keras")
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), np.mean(answers, axis=0), atol=1e-6
    )
    assert loaded.input.dtype == "uint8"
