import functools

import keras
import numpy as np
import pytest
from families import FAMILIES, make
from input_readers import ENDS, examples, made

from tl_keras.backbones import applications
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.training.network import freeze

_backbone = functools.cache(make)


def _pattern(name):
    return applications.BACKBONES[name].block


def _images(size, count=1):
    shape = (count, size, size, 3)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def _arrays(model):
    return [weight.numpy().copy() for weight in model.weights]


def _residual():
    x = keras.Input((4,), name="features")
    first = keras.layers.Dense(4, name="one_dense")(x)
    branch = keras.layers.Dense(4, name="two_dense")(first)
    total = keras.layers.Add(name="sum")([first, branch])
    return keras.Model(x, keras.layers.Dense(2, name="three_dense")(total), name="residual")


def test_prefix_then_suffix_equals_the_model(family):
    name, model = family
    images = _images(model.input_shape[1])
    expected = np.asarray(model(images))
    ends = [block.cut for block in freeze.blocks(model, _pattern(name))]
    for cut in {ends[len(ends) // 2], ends[-1]}:
        prefix, suffix = freeze.split(model, cut)
        np.testing.assert_array_equal(suffix(prefix(images)), expected)


def test_freezing_a_share_of_k_in_n_freezes_k_blocks(family):
    name, model = family
    blocks = freeze.blocks(model, _pattern(name))
    cuts = freeze.cut_points(model)
    positions = [cuts.index(block.cut) for block in blocks]
    assert len(blocks) == FAMILIES[name].blocks
    assert positions == sorted(set(positions))
    for k, block in enumerate(blocks[:-1], start=1):
        result = freeze.resolve(model, _pattern(name), k / len(blocks))
        assert (result.index, result.block, result.cut) == (k, block.name, block.cut)
    assert freeze.resolve(model, _pattern(name), 0).cut is None
    assert freeze.resolve(model, _pattern(name), 1).cut == model.operations[-1].name
    if name in ("MobileNetV2", "EfficientNetB0", "ResNet50"):
        _assert_blocks_found_by_graph_include_those_found_by_name(
            model, [block.cut for block in blocks]
        )
    if name == "MobileNetV3Small":
        _assert_cut_points_are_where_keras_can_cut(model)


def _assert_blocks_found_by_graph_include_those_found_by_name(model, by_name):
    by_graph = [block.cut for block in freeze.blocks(model, None)]
    assert set(by_name[:-1]) <= set(by_graph)
    assert len(by_graph) - len(by_name) in (0, 1)  # ResNet50's stem.
    assert by_graph[-1] == model.operations[-1].name


def test_cut_points_of_a_small_graph_are_where_keras_can_cut():
    _assert_cut_points_are_where_keras_can_cut(_residual())


def _assert_cut_points_are_where_keras_can_cut(model):

    def cuts(operation):
        try:
            keras.Model(operation.output, model.output)
        except ValueError:
            return False
        return True

    *inner, last = freeze.cut_points(model)
    assert inner == [o.name for o in model.operations[1:-1] if cuts(o)]
    assert last == model.operations[-1].name


def test_block_ends_at_an_unnamed_add_or_merges_into_the_next_block():
    model = _residual()
    assert freeze.blocks(model, r"^(one|two|three)_") == [
        freeze.Block("one", "one_dense"),
        freeze.Block("two", "sum"),
        freeze.Block("three", "three_dense"),
    ]
    x = keras.Input((4,))
    a, b = keras.layers.Dense(4, name="a_dense")(x), keras.layers.Dense(4, name="b_dense")(x)
    merged = keras.Model(x, keras.layers.Add(name="sum")([a, b]))
    assert freeze.blocks(merged, r"^([ab])_") == [freeze.Block("b", "sum")]


@pytest.mark.parametrize("pattern", [None, r"^(nothing)_"])
def test_without_block_names_each_cut_point_is_a_block(pattern):
    found = freeze.blocks(_residual(), pattern)
    assert [block.cut for block in found] == ["one_dense", "sum", "three_dense"]


def test_blocks_found_by_graph_do_not_end_at_padding_or_between_layer_and_activation():
    image = x = keras.Input((32, 32, 3))
    for number, filters in enumerate((8, 16, 16)):
        x = keras.layers.ZeroPadding2D(name=f"pad_{number}")(x)
        x = keras.layers.Conv2D(filters, 3, strides=2, name=f"conv_{number}")(x)
        x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
        x = keras.layers.PReLU(shared_axes=[1, 2], name=f"act_{number}")(x)
    model = keras.Model(image, keras.layers.GlobalMaxPooling2D(name="pool")(x))
    assert [block.cut for block in freeze.blocks(model, None)] == ["act_0", "act_1", "pool"]


def test_model_with_two_inputs_has_no_cut_before_both_are_used():
    x, mask = keras.Input((4,), name="x"), keras.Input((4,), name="mask")
    early = keras.layers.Dense(4, name="early")(x)
    both = keras.layers.Multiply(name="both")([early, mask])
    assert freeze.cut_points(keras.Model([x, mask], both)) == ["both"]


def test_model_that_calls_a_layer_twice_is_refused():
    x, dense = keras.Input((4,)), keras.layers.Dense(4, name="shared")
    with pytest.raises(ValueError, match="'last' reads a tensor of another model, or of a layer"):
        freeze.cut_points(keras.Model(x, keras.layers.ReLU(name="last")(dense(dense(x)))))


def test_names_of_blocks_and_layers_resolve():
    model, pattern = _backbone("MobileNetV2"), _pattern("MobileNetV2")
    by_block = freeze.resolve(model, pattern, "block_3")
    assert by_block == freeze.Freeze("block_3", "block_3", "block_3_project_BN", 4, 18)
    by_layer = freeze.resolve(model, pattern, "block_3_expand_relu")
    assert by_layer == freeze.Freeze("block_3_expand_relu", "block_2", "block_3_expand_relu", 3, 18)
    assert freeze.resolve(model, pattern, "Conv1").block is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "blok_3",
            r"'blok_3' is not a cut point of MobileNetV2 \(a layer .*\); did you mean 'block_3'\?; "
            r"expected .*",
        ),
        (
            "block_2_expand",
            r"inside a branch: .*; the cut point before it is 'block_1_project_BN'; "
            r"the cut point after it is 'block_2_add'; expected .*block_1 \(block_1_project_BN\)",
        ),
        ("image", r"'image' is not a cut point .* it is an input"),
        (1.5, r"expected a number in 0\.\.1 or a layer's name; received 1\.5"),
        (float("nan"), r"received nan"),
    ],
)
def test_resolve_rejects_wrong_depths(value, message):
    with pytest.raises(ValueError, match=rf"^fit\.freeze: .*{message}"):
        freeze.resolve(_backbone("MobileNetV2"), _pattern("MobileNetV2"), value)


@pytest.mark.parametrize("cut", ["two_dense", "three_dense", "features"])
def test_split_needs_a_cut_point_with_layers_after_it(cut):
    with pytest.raises(ValueError, match=f"'{cut}' does not cut residual in two"):
        freeze.split(_residual(), cut)


@pytest.mark.parametrize("build", ENDS)
def test_prefix_and_suffix_equal_a_model_whose_blocks_read_the_input(build):
    model = made(build)
    inputs = keras.ops.convert_to_tensor(examples(model, 5).array)
    expected = np.asarray(model(inputs))
    for cut in freeze.cut_points(model)[:-1]:
        prefix, suffix = freeze.split(model, cut)
        found = suffix(freeze.suffix_inputs(suffix, prefix(inputs), inputs))
        np.testing.assert_array_equal(found, expected)
        assert len(suffix.inputs) == 1 + freeze.reads_input(model, cut)


@pytest.mark.parametrize("build", ENDS)
def test_model_can_be_saved_after_it_was_split(build, tmp_path):
    model = made(build)
    inputs = examples(model, 3).array
    expected = np.asarray(model(inputs))
    for cut in ENDS[build]:
        if freeze.reads_input(model, cut):
            freeze.split(model, cut)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(inputs), expected)


def test_training_the_suffix_trains_the_model():
    model = _residual()
    _, suffix = freeze.split(model, "sum")
    suffix.layers[-1].bias.assign([1.0, 2.0])
    np.testing.assert_array_equal(model.get_layer("three_dense").bias, [1.0, 2.0])


def test_frozen_batch_norm_stays_in_inference_mode_and_keeps_its_statistics():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.BatchNormalization()(inner(x)))
    data = np.random.default_rng(0).normal(3, 2, (8, 4)).astype("float32")
    expected, before = np.asarray(model(data, training=False)), _arrays(model)
    freeze.freeze_batch_norm(model)
    np.testing.assert_array_equal(model(data, training=True), expected)
    for old, new in zip(before, _arrays(model), strict=True):
        np.testing.assert_array_equal(new, old)
    assert not model.trainable_weights


def _training_graph(prefix, suffix):
    image = keras.Input(prefix.input_shape[1:], dtype="uint8")
    features = freeze.FrozenPrefix(prefix)(image)
    return keras.Model(image, keras.layers.Dense(2)(suffix(features)))


def test_frozen_prefix_stays_in_inference_mode_during_training():
    # EfficientNetB0 has nine dropouts and batch norm from its first block on.
    prefix, _ = freeze.split(_backbone("EfficientNetB0"), "block4c_add")
    images = _images(32, count=4)
    image = keras.Input((32, 32, 3), dtype="uint8")
    graph = keras.Model(image, freeze.FrozenPrefix(prefix)(image))
    expected = np.asarray(prefix(images, training=False))
    before = _arrays(prefix)
    # Folded batch norm rounds differently; training mode would differ by far more.
    np.testing.assert_allclose(graph(images, training=True), expected, rtol=1e-4, atol=1e-4)
    for old, new in zip(before, _arrays(prefix), strict=True):
        np.testing.assert_array_equal(new, old)
    assert graph.weights == []


def test_keras_fit_changes_the_suffix_but_not_the_prefix():
    keras.utils.set_random_seed(0)
    prefix, suffix = freeze.split(
        applications.build("EfficientNetB0", {}, ImageConfig(size=32)), "block6c_add"
    )
    model = _training_graph(prefix, suffix)
    frozen, trained = _arrays(prefix), _arrays(suffix)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(_images(32, count=8), np.arange(8) % 2, batch_size=4, epochs=1, verbose=0)
    for old, new in zip(frozen, _arrays(prefix), strict=True):
        np.testing.assert_array_equal(new, old)
    changed = [not np.array_equal(*x) for x in zip(trained, _arrays(suffix), strict=True)]
    assert np.mean(changed) > 0.5
