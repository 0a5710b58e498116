"""The weights and configs that ship inside the package."""

import importlib.resources

import numpy as np

from tl_keras.backbones import applications
from tl_keras.backbones.weights import load_weights
from tl_keras.config import text as configs
from tl_keras.config.fit import FitConfig
from tl_keras.embedded.shrink import shrink
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.training.network import model as models


def embedded(name: str):
    """A context with the path of a file that ships inside the package."""
    return importlib.resources.as_file(importlib.resources.files("tl_keras.embedded") / name)


def test_shrunk_weights_are_equal_up_to_half_precision(tmp_path):
    settings = ImageConfig(size=32)
    backbone = applications.build("MobileNet", {"alpha": 0.25}, settings)
    backbone.save_weights(tmp_path / "whole.weights.h5")
    shrink(tmp_path / "whole.weights.h5", tmp_path / "half.weights.h5")
    whole, half = (tmp_path / f"{name}.weights.h5" for name in ("whole", "half"))
    assert half.stat().st_size < 0.65 * whole.stat().st_size
    before = backbone.get_weights()
    load_weights(backbone, "MobileNet", {"alpha": 0.25}, settings, str(half))
    for a, b in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_embedded_weights_fit_the_quickstart_config():
    with embedded("quickstart.yaml") as file:
        config = configs.load(file)
    assert config.model.weights == "glyphs"
    assert config.data.examples_per_class <= 100
    backbone = models.pretrained(config.model, config.settings)
    assert all(np.isfinite(weights).all() for weights in backbone.get_weights())


def test_embedded_table_fits_the_quickstart_config_of_texts():
    with embedded("quickstart_text.yaml") as file:
        config = configs.load(file)
    assert (config.model.backbone, config.model.weights) == ("StaticEmbedding", "minilm")
    assert config.data.source == "intents"
    assert config.fit == FitConfig(batch_size=16)  # The quickstart shows the defaults.


def test_embedded_weights_are_small():
    with embedded("glyphs.weights.h5") as file:
        assert file.stat().st_size < 2.5e6
