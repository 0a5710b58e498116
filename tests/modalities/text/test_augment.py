"""Augmentation of token ids: what each operation changes, and on what a view depends."""

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tl_keras.config import text as configs
from tl_keras.modalities.text.augment import augment, mix, mixes, num_columns
from tl_keras.modalities.text.config import Operation, TextAugmentation, TextConfig

START, END, MASK = 101, 102, 103


def operation(name: str, share: float) -> Operation:
    mask = MASK if name == "mask" else None
    return Operation(name=name, share=share, start=START, end=END, mask=mask)


def texts(*lengths: int, padding: int = 0) -> np.ndarray:
    """Returns texts of different tokens: 1000, 1001, ... between start and end."""
    ids = np.zeros((len(lengths), max(lengths) + 2 + padding), np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[: length + 2] = [START, *range(1000, 1000 + length), END]
    return ids


def view(ids: np.ndarray, *operations: Operation, seed: int = 0) -> np.ndarray:
    shape = (len(ids), num_columns(operations))
    numbers = np.random.default_rng(seed).random(shape, np.float32)
    return augment(tf.constant(ids), tf.constant(numbers), operations).numpy()


def tokens(row: np.ndarray) -> list[int]:
    return [i for i in row.tolist() if i not in (0, START, END)]


def is_part(short: list[int], whole: list[int]) -> bool:
    """Returns whether a list has only elements of another list, in the same order."""
    rest = iter(whole)
    return all(i in rest for i in short)


MANY = texts(*([200] * 100))


def test_masking_replaces_the_share_of_tokens_in_place():
    shown = view(MANY, operation("mask", 0.15))
    masked = shown == MASK
    assert masked.mean() == pytest.approx(0.15, abs=0.01)
    np.testing.assert_array_equal(shown[~masked], MANY[~masked])
    # Each text and each place is masked about equally often.
    assert masked[:, 1:-1].mean(1).std() < 0.04 and masked[:, 1:-1].mean(0).std() < 0.05


def test_neighbours_and_texts_are_masked_independently():
    masked = view(MANY, operation("mask", 0.5))[:, 1:-1] == MASK
    centred = masked - masked.mean()
    for other in (np.roll(centred, 1, 0), np.roll(centred, 1, 1), np.roll(centred, 2, 1)):
        assert abs((centred * other).mean()) < 0.01


def test_deletion_moves_the_rest_up():
    shown = view(MANY, operation("delete", 0.1))
    kept = [tokens(row) for row in shown]
    assert all(is_part(row, list(range(1000, 1200))) for row in kept)
    assert np.mean([len(row) for row in kept]) == pytest.approx(180, abs=2)
    for row, inner in zip(shown, kept, strict=True):
        zeros = [0] * (len(row) - len(inner) - 2)
        assert row.tolist() == [START, *inner, END, *zeros]


def test_a_span_is_contiguous_and_at_most_the_share():
    shown = view(MANY, operation("span", 0.2))
    lengths = []
    for row in shown:
        inner = tokens(row)
        gone = sorted(set(range(1000, 1200)) - set(inner))
        assert gone == list(range(gone[0], gone[0] + len(gone))) if gone else True
        assert row[len(inner) + 1] == END and not row[len(inner) + 2 :].any()
        lengths.append(len(gone))
    assert min(lengths) < 5 and 35 < max(lengths) <= 40
    first = [row[1] != 1000 for row in shown]
    last = [tokens(row)[-1] != 1199 for row in shown]
    assert np.mean(first) < 0.15 and np.mean(last) < 0.15


EVERY = [
    (operation("mask", 0.3),),
    (operation("delete", 0.3),),
    (operation("span", 0.6),),
    (operation("span", 0.3), operation("delete", 0.2), operation("mask", 0.2)),
]


@pytest.mark.parametrize("operations", EVERY)
def test_padding_and_the_batch_do_not_matter(operations):
    numbers = np.random.default_rng(0).random((3, num_columns(operations)), np.float32)
    lengths = (1, 30, 12)
    whole = augment(texts(*lengths, padding=16), numbers, operations).numpy()
    for i, length in enumerate(lengths):
        alone = augment(texts(length), numbers[i : i + 1], operations).numpy()[0]
        assert whole[i, : length + 2].tolist() == alone.tolist()
        assert not whole[i, length + 2 :].any()


@pytest.mark.parametrize("operations", EVERY)
def test_the_same_numbers_give_the_same_view_in_a_graph_of_any_shape(operations):
    traced = tf.function(
        lambda ids, numbers: augment(ids, numbers, operations),
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None, num_columns(operations)), tf.float32),
        ],
    )
    for ids in (texts(5, 20), texts(7, 3, 60)):
        numbers = np.random.default_rng(1).random((len(ids), num_columns(operations)), np.float32)
        expected = augment(tf.constant(ids), tf.constant(numbers), operations)
        shown = traced(ids, numbers)
        assert shown.dtype == tf.int32 and shown.shape == ids.shape
        np.testing.assert_array_equal(shown, expected)
        assert (expected.numpy() != augment(ids, 1 - numbers, operations).numpy()).any()


@pytest.mark.parametrize("name", ["mask", "delete", "span"])
def test_a_view_keeps_at_least_one_token(name):
    for seed in range(20):
        for row in view(texts(1, 2, 3), operation(name, 0.99), seed=seed):
            assert row[0] == START and END in row
            assert [i for i in tokens(row) if i != MASK]


def test_a_text_without_tokens_stays():
    ids = np.array([[START, END, 0, 0], [0, 0, 0, 0]], np.int32)
    for operations in EVERY:
        np.testing.assert_array_equal(view(ids, *operations), ids)


def test_without_start_and_end_every_token_may_change():
    ids = np.arange(1000, 1400, dtype=np.int32)[None]
    bare = Operation(name="delete", share=0.5, start=None, end=None, mask=None)
    firsts = {view(ids, bare, seed=seed)[0, 0] for seed in range(20)}
    assert 1000 in firsts and len(firsts) > 2


def test_texts_are_not_mixed():
    ids, targets = tf.constant(texts(3)), tf.constant([[1.0, 0.0]])
    assert mix(ids, targets, (), tf.constant([0, 0])) == (ids, targets)
    assert not mixes((operation("mask", 0.1),))


def test_no_operation_needs_no_numbers():
    assert num_columns(()) == 0
    np.testing.assert_array_equal(augment(texts(3), np.zeros((1, 0)), ()), texts(3))


def test_the_config_gives_operations_with_the_ids_of_the_vocabulary():
    settings = TextConfig(vocabulary="english", augment=[{"mask": 0.1}, {"span": 0.8}])
    assert settings.augmentations == (operation("mask", 0.1), operation("span", 0.8))
    double = settings.model_copy(update={"augment_strength": 2.0})
    assert [entry.share for entry in double.augmentations] == [0.2, 0.99]
    assert settings.model_copy(update={"augment_strength": 0}).augmentations == ()
    assert TextConfig().augmentations == ()
    assert settings.model_dump(mode="json")["augment"] == [{"mask": 0.1}, {"span": 0.8}]


def test_a_vocabulary_without_a_mask_token_uses_the_unknown_token(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    settings = TextConfig(vocabulary=str(tmp_path), augment=[{"mask": 0.1}, {"delete": 0.1}])
    expected = {"start": 2, "end": 3}
    assert settings.augmentations == (
        Operation(name="mask", share=0.1, mask=1, **expected),
        Operation(name="delete", share=0.1, mask=None, **expected),
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "expected one operation and its strength, as in {delete: 0.1}; received none"),
        ({"mask": 0.1, "span": 0.1}, "received mask and span"),
        ({"mask": 1.0}, "less than 1"),
        ({"swap": 0.1}, "swap"),
    ],
)
def test_an_entry_has_exactly_one_operation(entry, message):
    with pytest.raises(ValidationError, match=message):
        TextAugmentation(**entry)


def test_views_of_a_text_need_an_operation():
    tree = {"data": {"modality": "text", "path": "a.csv"}, "evaluate": {"views": 4}}
    tree["model"] = {"backbone": "own.keras"}
    with pytest.raises(ValueError, match="evaluate.views: all augmented views of a text would be"):
        configs.from_tree(tree)
