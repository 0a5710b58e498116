import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from text_models import (
    ALBERT,
    BERT,
    DISTILBERT,
    ELECTRA,
    ROBERTA,
    TEXTS,
    WORDS,
    Settings,
    features,
    write_model,
    write_safetensors,
    write_vocabulary,
)

from tl_keras.backbones import hugging_face, model_file, table, transformer
from tl_keras.backbones.weights import load_weights
from tl_keras.config.model import ModelConfig
from tl_keras.modalities.text.tokens import vocabulary
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)

SWAPPED = (WORDS[1], WORDS[0], *WORDS[2:])  # Padding is row 1.


def _pretrained(folder: Path, **model) -> keras.Model:
    config = ModelConfig(backbone=str(folder), **model)
    settings = Settings(str(folder))
    table.check(config, settings)
    return models.pretrained(config, settings)


def _check_features(model, config, arrays, folder, pooling="mean", rtol=1e-5):
    order = np.asarray(vocabulary.read(str(folder)).order)
    expected = [features(config, arrays, order[ids[ids != 0]], pooling) for ids in TEXTS]
    found = np.asarray(model(TEXTS))
    # The expected numbers are float64; two layers of float32 lose some digits.
    np.testing.assert_allclose(found, expected, atol=rtol * np.abs(expected).max())
    assert np.std(expected) > 0.1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (BERT, WORDS),
        (BERT | {"hidden_act": "relu"}, WORDS),
        (BERT | {"hidden_act": "gelu_new"}, WORDS),
        (DISTILBERT, WORDS),
        (ELECTRA, WORDS),
        (ALBERT, WORDS),
        (ROBERTA, SWAPPED),
    ],
    ids=["bert", "relu", "gelu_new", "distilbert", "electra", "albert", "roberta"],
)
def test_features_equal_a_forward_pass_in_numpy(config, words, tmp_path):
    arrays = write_model(tmp_path, config, words)
    _check_features(_pretrained(tmp_path), config, arrays, tmp_path)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_files_give_nearly_equal_features(dtype, tmp_path):
    arrays = write_model(tmp_path, BERT, dtype=dtype)
    # A weight of bfloat16 is wrong by up to 2**-8 of itself.
    rtol = {"F16": 2e-3, "BF16": 3e-2}[dtype]
    _check_features(_pretrained(tmp_path), BERT, arrays, tmp_path, rtol=rtol)


def test_old_names_and_the_names_of_a_whole_model_are_known(tmp_path):
    arrays = write_model(tmp_path, BERT)
    named = {
        "bert." + name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): x
        for name, x in arrays.items()
    } | {"classifier.weight": np.ones((2, 16), np.float32)}
    write_safetensors(tmp_path / "model.safetensors", named)
    _check_features(_pretrained(tmp_path), BERT, arrays, tmp_path)


def test_unused_rows_at_the_end_of_the_table_are_dropped(tmp_path):
    arrays = write_model(tmp_path, BERT)
    words = arrays["embeddings.word_embeddings.weight"]
    longer = {**arrays, "embeddings.word_embeddings.weight": np.pad(words, ((0, 7), (0, 0)))}
    write_safetensors(tmp_path / "model.safetensors", longer)
    model = _pretrained(tmp_path)
    assert model.get_layer("embeddings_tokens").input_dim == len(WORDS)
    _check_features(model, BERT, arrays, tmp_path)


def test_options_choose_layers_and_pooling(tmp_path):
    arrays = write_model(tmp_path, BERT)
    model = _pretrained(tmp_path, options={"layers": 1, "pooling": "first"})
    _check_features(model, BERT | {"num_hidden_layers": 1}, arrays, tmp_path, "first")
    pattern = table.block_pattern(str(tmp_path))
    assert [block.name for block in freeze.blocks(model, pattern)] == ["embeddings", "layer_0"]


@pytest.mark.parametrize(
    ("modes", "expected"),
    [({"cls_token": True, "mean_tokens": False}, "first"), ({"mean_tokens": True}, "mean")],
)
def test_sentence_transformers_decides_the_pooling(modes, expected, tmp_path):
    arrays = write_model(tmp_path, BERT)
    _write_pooling(tmp_path, modes)
    _check_features(_pretrained(tmp_path), BERT, arrays, tmp_path, expected)


def _write_pooling(folder, modes):
    (folder / "1_Pooling").mkdir()
    config = {f"pooling_mode_{name}": value for name, value in modes.items()}
    (folder / "1_Pooling/config.json").write_text(json.dumps(config))
    kind = "sentence_transformers.models.Pooling"
    (folder / "modules.json").write_text(json.dumps([{"path": "1_Pooling", "type": kind}]))


def test_another_pooling_has_to_be_replaced(tmp_path):
    write_model(tmp_path, BERT)
    _write_pooling(tmp_path, {"max_tokens": True})
    message = r"was trained with pooling_mode_max_tokens; .* set model\.options\.pooling to mean or"
    with pytest.raises(ValueError, match=message):
        _pretrained(tmp_path)
    _pretrained(tmp_path, options={"pooling": "mean"})


def test_pooling_lies_inside_the_folder(tmp_path):
    folder = tmp_path / "model"
    arrays = write_model(folder, BERT)
    (tmp_path / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (folder / "modules.json").write_text('[{"path": "..", "type": "a.Pooling"}]')
    with pytest.raises(ValueError, match="was trained with no pooling mode"):
        _pretrained(folder)
    (folder / "config.json").write_text(json.dumps(BERT | {"pooling_mode_mean_tokens": True}))
    _check_features(_pretrained(folder), BERT, arrays, folder, "mean")


def test_a_folder_decides_vocabulary_and_length(tmp_path):
    write_model(tmp_path, ROBERTA, SWAPPED)
    config = ModelConfig(backbone=tmp_path)
    assert config.weights == "own" and config.origin == str(tmp_path)
    assert table.decided(config) == {"vocabulary": str(tmp_path), "length": 16}
    with pytest.raises(ValueError, match=r"text\.length: \S+ takes at most 16 tokens, received 17"):
        table.check(config, Settings(str(tmp_path), 17))


def test_a_missing_folder_still_loads_as_the_config_of_a_finished_run(tmp_path):
    config = ModelConfig(backbone=str(tmp_path / "gone"), options={"layers": 1})
    assert table.decided(config) == {} and config.weights == "own"


def test_random_weights_are_possible(tmp_path):
    arrays = write_model(tmp_path, BERT)
    model = _pretrained(tmp_path, weights="none")
    found = model.get_layer("layer_0_query").get_weights()[0]
    assert np.abs(found - arrays["encoder.layer.0.attention.self.query.weight"].T).max() > 0.01


def test_half_precision_twin_keeps_the_weights(tmp_path):
    write_model(tmp_path, BERT)
    config, settings = ModelConfig(backbone=str(tmp_path)), Settings(str(tmp_path))
    model = models.add_head(models.pretrained(config, settings), "ab", 0.2)
    twin = models.in_precision(model, config, settings, "ab", "mixed_bfloat16")
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert twin.get_layer("layer_1_outer").compute_dtype == "bfloat16"
    assert twin.get_layer("features").output.dtype == "float32"


# --- weights for another backbone

OPTIONS = {"layers": 2, "width": 16, "heads": 4, "inner": 24, "positions": 16}


def _loaded(folder, vocabulary_at, **options) -> keras.Model:
    settings = Settings(str(vocabulary_at))
    model = transformer.build("BERT", OPTIONS | options, settings)
    load_weights(model, "BERT", OPTIONS | options, settings, str(folder))
    return model


def test_a_folder_gives_weights_to_bert_of_equal_sizes(tmp_path):
    arrays = write_model(tmp_path, BERT)
    _check_features(_loaded(tmp_path, tmp_path), BERT, arrays, tmp_path)
    one = _loaded(tmp_path, tmp_path, layers=1)
    _check_features(one, BERT | {"num_hidden_layers": 1}, arrays, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 2}, r"has other heads than BERT: 4 instead of 2; .* model\.backbone=/"),
        ({"layers": 3}, "has other layers than BERT: 2 instead of 3"),
        ({"positions": 8}, "has other positions than BERT: 16 instead of 8"),
    ],
)
def test_a_folder_of_other_sizes_is_refused(options, message, tmp_path):
    write_model(tmp_path, BERT)
    with pytest.raises(ValueError, match=message):
        _loaded(tmp_path, tmp_path, **options)


def test_weights_of_another_vocabulary_are_refused(tmp_path):
    write_model(tmp_path / "a", BERT)
    shuffled = (*WORDS[:5], *reversed(WORDS[5:]))
    write_vocabulary(tmp_path / "b", shuffled)
    message = r"model\.weights: '\S+a' was trained with another vocabulary than text\.vocabulary, "
    with pytest.raises(ValueError, match=message):
        _loaded(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a/vocab.txt").unlink()  # Now only the number of rows can be compared.
    _loaded(tmp_path / "a", tmp_path / "b")
    write_vocabulary(tmp_path / "b", WORDS[:-1])
    with pytest.raises(ValueError, match=r"its table has 33 tokens, the vocabulary has 32"):
        _loaded(tmp_path / "a", tmp_path / "b")


def test_a_vocabulary_with_some_of_the_tokens_takes_the_rows_of_these_tokens(tmp_path):
    arrays = write_model(tmp_path / "a", BERT, SWAPPED)
    kept = [0, 1, 2, 3, 4, 7, 9, 20, 32]  # Rows; padding is row 1.
    write_vocabulary(tmp_path / "b", [SWAPPED[row] for row in kept])
    model = _loaded(tmp_path / "a", tmp_path / "b")
    table = arrays["embeddings.word_embeddings.weight"]
    found = model.get_layer("embeddings_tokens").get_weights()[0]
    np.testing.assert_array_equal(found, table[[1, 0, *kept[2:]]])
    write_vocabulary(tmp_path / "b", [*(SWAPPED[row] for row in kept), "unheard"])
    with pytest.raises(ValueError, match="another vocabulary than text.vocabulary"):
        _loaded(tmp_path / "a", tmp_path / "b")


def test_a_text_folder_does_not_fit_an_image_backbone(tmp_path):
    from tl_keras.backbones import weights

    write_model(tmp_path, BERT)
    weights.check("BERT", OPTIONS, str(tmp_path))
    with pytest.raises(ValueError, match=r"contains a text model, which does not fit MobileNetV2"):
        weights.check("MobileNetV2", {}, str(tmp_path))


def test_weights_of_another_folder_must_have_the_same_sizes(tmp_path):
    from tl_keras.backbones import weights

    write_model(tmp_path / "a", BERT)
    arrays = write_model(tmp_path / "b", BERT)
    name, other = str(tmp_path / "a"), str(tmp_path / "b")
    weights.check(name, {}, other)
    settings = Settings(name)
    model = hugging_face.build(name, {}, settings)
    load_weights(model, name, {}, settings, other)
    _check_features(model, BERT, arrays, tmp_path / "b")
    (tmp_path / "b/config.json").write_text(json.dumps(BERT | {"hidden_act": "relu"}))
    with pytest.raises(ValueError, match=r"^model\.weights: .* has other activation than .* relu"):
        load_weights(model, name, {}, settings, other)


# --- folders that cannot be used


def _without(config, name):
    return {key: value for key, value in config.items() if key != name}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            _without(BERT, "model_type"),
            r"a model of the type None; expected one of albert, bert, distilber",
        ),
        (BERT | {"model_type": "gpt2"}, r"a model of the type 'gpt2'; expected one of albert"),
        (BERT | {"hidden_size": "16"}, r"hidden_size to be a whole number in 1\.\.16384, received"),
        (BERT | {"hidden_size": 10**9}, r"hidden_size to be a whole number in 1\.\.16384"),
        (_without(BERT, "hidden_size"), r"hidden_size to be a whole number .* received None"),
        (
            BERT | {"model_type": ["bert"]},
            r"a model of the type \['bert'\]; expected one of albert",
        ),
        (
            BERT | {"num_attention_heads": 3},
            r"expected num_attention_heads to divide hidden_size, 16; received 3",
        ),
        (BERT | {"hidden_act": "silu"}, r"has the activation 'silu'; expected one of gelu, relu"),
        (BERT | {"hidden_act": ["gelu"]}, r"has the activation \['gelu'\]; expected one of gelu"),
        (
            BERT | {"layer_norm_eps": "x"},
            r"layer_norm_eps to be a number between 0 and 1, rec.* 'x'",
        ),
        (
            BERT | {"model_type": "roberta", "max_position_embeddings": 2},
            r"max_position_embeddings to be more than 2, .* received 2",
        ),
        (BERT | {"position_embedding_type": "relative_key"}, r"describes a decoder, or relative"),
        (BERT | {"inner_group_num": 2}, r"describes several groups of layers; expected one"),
        (BERT | {"is_decoder": True}, r"describes a decoder"),
        (
            BERT | {"num_hidden_layers": 3},
            r"has no tensor 'encoder\.layer\.2\.attention\.self\.que",
        ),
        (BERT | {"intermediate_size": 25}, r"with the shape \(24, 16\); expected \(25, 16\)"),
        (BERT | {"max_position_embeddings": 9}, r"with the shape \(16, 16\); expected \(9, 16\)"),
    ],
)
def test_unusable_configs_are_refused_without_tensorflow(config, message, tmp_path):
    write_model(tmp_path, BERT)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"^model\.backbone: .*{message}"):
        hugging_face.check(str(tmp_path), {}, Settings(str(tmp_path)))


def test_a_table_and_a_vocabulary_of_other_sizes_are_refused_without_tensorflow(tmp_path):
    write_model(tmp_path, BERT)
    write_vocabulary(tmp_path, (*WORDS, "unheard"))
    config, settings = ModelConfig(backbone=str(tmp_path)), Settings(str(tmp_path))
    with pytest.raises(ValueError, match="table has 33 tokens, the vocabulary has 34"):
        table.check(config, settings)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(ValueError, match="has no vocabulary; expected vocab.txt"):
        table.check(config, settings)


def test_an_empty_table_is_refused(tmp_path):
    arrays = write_model(tmp_path, BERT)
    name = "embeddings.token_type_embeddings.weight"
    write_safetensors(tmp_path / "model.safetensors", arrays | {name: arrays[name][:0]})
    with pytest.raises(ValueError, match=r"the shape \(0, 16\); expected \('at least 1', 16\)"):
        table.check(ModelConfig(backbone=str(tmp_path)), Settings(str(tmp_path)))


def test_damaged_files_are_refused(tmp_path):
    write_model(tmp_path, BERT)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"^model\.backbone: .* not a safetensors file"):
        hugging_face.check(str(tmp_path), {})
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ValueError, match=r"^model\.backbone: .* only pytorch_model\.bin, a pickle"):
        hugging_face.check(str(tmp_path), {})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"^model\.backbone: .*config\.json' is missing or damage"):
        hugging_face.check(str(tmp_path), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 3}, r"model\.options\.layers: must be a whole number in 1\.\.2, received 3"),
        ({"pooling": "max"}, r"pooling: expected one of mean, first; received 'max'"),
        ({"width": 3}, r"model\.options\.width: \S+ has no such option; valid: layers, pooling"),
    ],
)
def test_wrong_options_are_refused(options, message, tmp_path):
    write_model(tmp_path, BERT)
    with pytest.raises(ValueError, match=message):
        hugging_face.check(str(tmp_path), options)


def test_a_run_folder_is_no_such_folder(tmp_path):
    (tmp_path / "result.json").touch()
    assert not model_file.is_folder(str(tmp_path))
    assert not model_file.is_folder(str(tmp_path / "missing.keras"))
    write_model(tmp_path, BERT)
    assert model_file.is_folder(str(tmp_path))


def test_checking_needs_no_tensorflow(tmp_path):
    write_model(tmp_path, BERT)
    code = (
        "import sys; from tl_keras.backbones import hugging_face; "
        f"hugging_face.check({str(tmp_path)!r}, {{}}); "
        "assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_official_is_the_model_with_its_weights(tmp_path):
    arrays = write_model(tmp_path, BERT)
    model = hugging_face.official(str(tmp_path), {}, Settings(str(tmp_path)))
    _check_features(model, BERT, arrays, tmp_path)
