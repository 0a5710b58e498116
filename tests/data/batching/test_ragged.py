"""Examples of different length: read as padded batches, stored without padding."""

import numpy as np
import pytest
import tensorflow as tf

from tl_keras.data.batching import batches, ragged
from tl_keras.data.batching.inputs import Inputs, Training

LENGTHS = (3, 12, 1, 8, 25)


@pytest.fixture
def examples():
    generator = np.random.default_rng(0)
    return [generator.integers(1, 100, n, np.int32) for n in LENGTHS]


@pytest.fixture
def whole(examples):
    return ragged.of(examples, np.empty(0, np.int32))


def inputs_of(count: int) -> Inputs:
    """Returns `count` examples, each of which contains its own position, repeated."""
    generator = np.random.default_rng(1)
    rows = [np.full(n, i + 1, np.int32) for i, n in enumerate(generator.integers(1, 60, count))]
    return Inputs(np.arange(count) % 2, ragged.of(rows, np.empty(0, np.int32)))


def how(batch_size: int = 4, balance: str = "none") -> Training:
    return Training("text", batch_size, 7, (), None, balance, 2)


def test_chosen_examples_are_padded_to_the_longest_of_them(whole, examples):
    batch = whole[np.array([3, 0])]
    assert batch.shape == (2, 8) and batch.dtype == np.int32
    assert batch[0].tolist() == examples[3].tolist()
    assert batch[1].tolist() == [*examples[0], 0, 0, 0, 0, 0]
    assert whole[4:].shape == (1, 32) and whole.shape == (5, None) and len(whole) == 5


def test_part_and_joined_keep_the_values(whole, examples):
    part = whole.part([4, 2])
    assert part.lengths.tolist() == [25, 1] and part.values.tolist() == [*examples[4], *examples[2]]
    again = ragged.joined([whole[:2], whole[2:]], variable=True)
    assert again.values.tolist() == whole.values.tolist()
    assert again.lengths.tolist() == list(LENGTHS)


def test_written_examples_are_read_again(whole, examples):
    empty = ragged.Ragged(np.zeros_like(whole.values), whole.lengths)
    empty[np.array([4, 1])] = whole[np.array([4, 1])]
    empty[2:4] = whole[2:4]
    empty[np.array([0])] = whole[np.array([0])][:, :2]  # Shorter than the example.
    for i in (1, 2, 3, 4):
        assert empty[i : i + 1].tolist() == whole[i : i + 1].tolist()
    assert empty[:1][0].tolist() == [*examples[0][:2], 0, 0, 0, 0, 0, 0]


def test_a_zero_inside_an_example_is_no_padding():
    assert ragged.lengths_of(np.array([[5, 0, 7, 0, 0], [0, 0, 0, 0, 0]])).tolist() == [3, 0]


def test_every_example_is_computed_once_and_long_ones_in_small_batches():
    inputs = inputs_of(300)
    chunks = batches.chunks(inputs, 64)
    assert np.sort(np.concatenate(chunks)).tolist() == list(range(300))
    assert all(inputs.take(rows).size <= batches.MOST_VALUES for rows in chunks)
    padding = sum((inputs.take(rows) == 0).sum() for rows in chunks)
    in_order = sum((inputs.take(slice(i, i + 64)) == 0).sum() for i in range(0, 300, 64))
    assert padding < in_order / 3


def test_one_length_is_read_in_order():
    inputs = Inputs(np.zeros(5, np.int64), np.arange(10).reshape(5, 2))
    assert [rows for rows, _ in batches.read_chunks(inputs, 2)] == [
        *(slice(0, 2), slice(2, 4), slice(4, 5))
    ]


@pytest.mark.parametrize("balance", ["none", "oversample"])
def test_training_batches_have_similar_lengths_and_all_examples(balance):
    inputs = inputs_of(203)
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    seen, padding = [], 0
    for x, _, _ in batches.training(inputs, how(balance=balance), place):
        seen += x[:, 0].numpy().tolist()
        padding += int((x.numpy() == 0).sum())
    assert len(seen) == 200
    if balance == "none":
        assert len(set(seen)) == 200
    shuffled = np.random.default_rng(0).permutation(203)[:200].reshape(-1, 4)
    assert padding < sum((inputs.take(rows) == 0).sum() for rows in shuffled) / 2


def test_epochs_differ_and_repeat_and_resume():
    inputs = inputs_of(64)
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    data = batches.training(inputs, how(), place)

    def firsts(epoch: int, step: int) -> list[list[int]]:
        place.assign([epoch, step])
        return [x[:, 0].numpy().tolist() for x, _, _ in data]

    epoch = firsts(3, 0)
    assert firsts(3, 0) == epoch and firsts(3, 5) == epoch[5:] and firsts(4, 0) != epoch


def test_stored_activations_are_read_in_the_order_of_the_examples():
    inputs = inputs_of(64)
    acts = ragged.Ragged(inputs.array.values[:, None].astype(np.float16), inputs.array.lengths)
    place = tf.Variable([2, 0], dtype=tf.int64, trainable=False)
    stored = batches.of_activations((acts, inputs.array), inputs.labels, how(), 2)
    for (x, targets, _), (pair, others, _) in zip(
        batches.training(inputs, how(), place), stored, strict=True
    ):
        assert np.array_equal(x, pair[1]) and np.array_equal(targets, others)
        assert np.array_equal(x, pair[0][..., 0])


def test_examples_of_a_pool_keep_their_lengths():
    inputs = inputs_of(9)
    part = inputs.part(np.array([8, 2]))
    assert part.lengths.tolist() == inputs.lengths[[8, 2]].tolist()
    assert part.whole().lengths.tolist() == part.lengths.tolist()
    assert batches.examples_of(part)[:, 0].tolist() == [9, 3]
