"""Cut points of models in which every block also reads the model's input."""

import keras
import numpy as np
import pytest
from input_readers import ENDS, gated, pictures, tokens
from keras import layers, ops

from tl_keras.training.network import freeze
from tl_keras.training.network.cuts import cuts_of


def cuts_by_definition(model):
    """Returns the operations whose output is the only tensor that later operations read."""
    cuts, operations = [], model.operations
    for i, operation in enumerate(operations[1:], start=1):
        earlier = {id(o.output) for o in operations[:i]}
        read_later = [x for o in operations[i + 1 :] for x in keras.tree.flatten(o.input)]
        if not any(id(x) in earlier for x in read_later):
            cuts.append(operation.name)
    return cuts


def test_model_that_reads_its_input_once_has_cuts_where_one_tensor_is_left(family):
    _, backbone = family
    assert cuts_of(backbone) == dict.fromkeys(cuts_by_definition(backbone), False)


@pytest.mark.parametrize("build", ENDS)
def test_there_is_a_cut_after_each_block(build):
    model = build()
    assert [block.cut for block in freeze.blocks(model, None)] == [*ENDS[build]]
    assert {cut: freeze.reads_input(model, cut) for cut in ENDS[build]} == ENDS[build]


def test_depth_whose_suffix_reads_the_input_resolves_like_any_other():
    model = tokens()
    assert freeze.resolve(model, None, 0.4) == freeze.Freeze(0.4, "near_0", "near_0", 2, 5)
    by_name = freeze.Freeze("joined_0", "near_0", "joined_0", 2, 5)
    assert freeze.resolve(model, None, "joined_0") == by_name
    assert freeze.resolve(model, r"^(?:attention|wide|narrow|out)_(\d)$", 0.5).cut == "out_0"


def test_only_operations_without_weights_are_repeated_after_a_cut():
    x = keras.Input((4,))
    other = layers.Dense(4, name="other")(x)
    h = layers.Dense(4, name="stem")(x)
    for i in range(2):
        h = layers.Dense(4, name=f"dense_{i}")(layers.Add(name=f"sum_{i}")([h, other]))
    assert freeze.cut_points(keras.Model(x, h)) == ["sum_1", "dense_1"]


@pytest.mark.parametrize("noise", [layers.GaussianNoise(0.1), layers.Dropout(0.1)])
def test_random_operations_are_not_repeated_after_a_cut(noise):
    """Prefix and suffix would draw different random numbers."""
    x = keras.Input((4,))
    noisy = noise(x)
    h = layers.Dense(4, name="stem")(noisy)
    for i in range(2):
        h = layers.Dense(4, name=f"dense_{i}")(layers.Add(name=f"sum_{i}")([h, noisy]))
    assert freeze.cut_points(keras.Model(x, h)) == [noise.name, "sum_1", "dense_1"]


def test_branches_that_begin_at_the_input_are_frozen_together():
    image = keras.Input((8, 8, 3))
    both = layers.Add(name="both")([layers.Conv2D(4, 3, name=f"conv_{i}")(image) for i in range(2)])
    last = layers.Conv2D(4, 3, name="last")(both)
    model = keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(last))
    assert freeze.cut_points(model) == ["both", "last", "pool"]
    assert [block.cut for block in freeze.blocks(model, None)] == ["both", "pool"]


def test_blocks_that_read_the_input_may_be_wider_than_their_neighbours():
    """In other models, activations wider than their neighbours lie in the middle of a block."""
    ids = keras.Input((8,), dtype="int32")
    mask = ops.cast(ops.expand_dims(ops.not_equal(ids, 0), -1), "float32")
    h = layers.Embedding(9, 16, name="words")(ids)
    for i in range(2):
        h = layers.Multiply(name=f"end_{i}")([layers.Dense(32, name=f"dense_{i}")(h), mask])
    pooled = layers.GlobalAveragePooling1D(name="pool")(h)
    end = layers.Dense(16, name="narrow")(pooled)
    blocks = freeze.blocks(keras.Model(ids, end), None)
    assert [block.cut for block in blocks] == ["words", "end_0", "narrow"]


def masked() -> keras.Model:
    ids = keras.Input((8,), dtype="int32", name="ids")
    h = layers.Embedding(20, 4, mask_zero=True, name="words")(ids)
    h = layers.Dense(4, name="dense")(h)
    return keras.Model(ids, layers.GlobalAveragePooling1D(name="pool")(h), name="masked")


@pytest.mark.parametrize(
    ("build", "name", "message"),
    [
        (
            tokens,
            "attention_0",
            "it is inside a branch: layers after it also read 'embedded', which has weights or "
            "depends on more than the model's input; the cut point before it is 'embedded'; the "
            "cut point after it is '",
        ),
        (tokens, "words", "it is inside a branch that begins at the input; the cut point after"),
        (tokens, "ids", "it is an input; the cut point after it is 'embedded'"),
        (
            pictures,
            "small_1",
            "it computes from the input alone and has no weights to freeze",
        ),
        (gated, "gate_1", "it is inside a branch that begins at the input"),
        (
            masked,
            "dense",
            r"its output carries a hidden Keras mask \(mask_zero, Masking\), which a",
        ),
    ],
)
def test_message_says_why_a_name_is_not_a_cut_point(build, name, message):
    model = build()
    start = rf"'{name}' is not a cut point of {model.name} \(a layer up to which .* be frozen\): "
    with pytest.raises(ValueError, match=start + message):
        freeze.resolve(model, None, name)


def test_hidden_keras_mask_is_never_cut():
    model = masked()
    assert freeze.cut_points(model) == ["pool"]
    ids = np.array([[1, 2, 0, 0, 0, 0, 0, 0]], np.int32)
    dense, words = model.get_layer("dense"), model.get_layer("words")
    without = np.asarray(dense(words.embeddings)).take(ids, axis=0).mean(axis=1)
    assert not np.allclose(model(ids), without)  # Pooling reads the mask.
