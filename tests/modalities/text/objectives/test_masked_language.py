from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tl_keras.backbones import transformer
from tl_keras.config.whole import RunConfig
from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.objectives import masked_language as mlm
from tl_keras.modalities.text.tokens import learn, vocabulary

TEXTS = ["the cat sat on the mat", "a dog ran over the red mat", "cats and dogs sat and ran"] * 3
OPTIONS = {"layers": 2, "width": 8, "heads": 2, "inner": 16, "positions": 32}
MODEL = SimpleNamespace(backbone="BERT", options=OPTIONS)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings with a small learned vocabulary."""
    folder = tmp_path_factory.mktemp("vocabulary")
    vocabulary.write(learn.learn(TEXTS, 100), folder)
    return TextConfig(length=16, vocabulary=str(folder))


def batcher(settings, masked=0.15):
    config = SimpleNamespace(pretrain=SimpleNamespace(masked=masked))
    return mlm.batcher(config, settings)


def random_ids(settings, shape=(64, 32), seed=0):
    words = vocabulary.read(settings.vocabulary)
    ids = np.random.default_rng(seed).integers(5, words.num_tokens, shape).astype(np.int32)
    ids[:, 0] = words.start
    for row, length in enumerate(np.linspace(8, shape[1], shape[0]).astype(int)):
        ids[row, length - 1], ids[row, length:] = words.end, 0
    return ids


class TestBatcher:
    def test_hides_a_share_of_the_ordinary_tokens_of_each_text(self, settings):
        ids, words = random_ids(settings), vocabulary.read(settings.vocabulary)
        (hidden, positions), targets, weights = batcher(settings, 0.25)(ids, (1, 2, 3))
        assert hidden.dtype == positions.dtype == targets.dtype == np.int32
        counts = (ids >= 5).sum(1)
        np.testing.assert_array_equal((weights > 0).sum(1), np.maximum(1, np.round(0.25 * counts)))
        np.testing.assert_array_equal(targets, np.take_along_axis(ids, positions, axis=1))
        assert weights.mean() == pytest.approx(1, abs=1e-6)
        assert not np.isin(targets[weights > 0], [0, words.start, words.end, words.mask]).any()

    def test_tokens_that_are_not_guessed_stay(self, settings):
        ids = random_ids(settings)
        (hidden, positions), _, weights = batcher(settings)(ids, (0,))
        may_change = np.zeros(ids.shape, bool)
        np.put_along_axis(may_change, positions, weights > 0, axis=1)
        np.testing.assert_array_equal(hidden[~may_change], ids[~may_change])

    def test_most_are_masked_some_replaced_some_kept(self, settings):
        ids, words = random_ids(settings, (2000, 32)), vocabulary.read(settings.vocabulary)
        (hidden, positions), targets, weights = batcher(settings)(ids, (0,))
        shown = np.take_along_axis(hidden, positions, axis=1)[weights > 0]
        target = targets[weights > 0]
        assert (shown == words.mask).mean() == pytest.approx(0.8, abs=0.02)
        # A random token may be the token itself, so slightly more than 10% stay.
        assert (shown == target).mean() == pytest.approx(0.1, abs=0.02)
        assert (shown >= 5).mean() == pytest.approx(0.2, abs=0.02)

    def test_depends_on_the_seed_alone(self, settings):
        ids, batch = random_ids(settings), batcher(settings)
        first, again, other = batch(ids, (0, 1, 2)), batch(ids, (0, 1, 2)), batch(ids, (0, 1, 3))
        for one, two in zip(tf.nest.flatten(first), tf.nest.flatten(again), strict=True):
            np.testing.assert_array_equal(one, two)
        assert (first[0][0] != other[0][0]).any()

    def test_a_text_of_special_tokens_has_no_guess(self, settings):
        words = vocabulary.read(settings.vocabulary)
        ids = random_ids(settings, (4, 8))
        ids[0] = [words.start, words.unknown, words.unknown, words.end, 0, 0, 0, 0]
        _, _, weights = batcher(settings)(ids, (0,))
        assert weights[0].max() == 0 < weights[1:].max()


class TestPieces:
    def test_a_long_text_is_divided(self, settings):
        text = " ".join(TEXTS)
        pieces = mlm.pieces(text.encode(), settings)
        words = vocabulary.read(settings.vocabulary)
        assert len(pieces) > 2 and max(map(len, pieces)) <= 16
        assert all(piece[0] == words.start and piece[-1] == words.end for piece in pieces)
        whole = [i for piece in pieces for i in piece[1:-1]]
        assert whole == tokens.encoder(settings.vocabulary)(text)

    def test_a_single_token_has_no_context(self, settings):
        assert mlm.pieces(b"cat", settings) == []
        assert mlm.pieces(b"", settings) == []
        assert len(mlm.pieces(b"the cat", settings)) == 1


class TestNetwork:
    def test_logits_are_products_with_the_token_table(self, settings):
        backbone = transformer.build("BERT", OPTIONS, settings)
        network = mlm.network(backbone, MODEL)
        ids = random_ids(settings, (3, 16))
        positions = np.array([[1, 4], [2, 2], [7, 0]], np.int32)
        logits = network([ids, positions])
        words = vocabulary.read(settings.vocabulary)
        assert logits.shape == (3, 2, words.num_tokens)
        states = keras.Model(network.inputs, network.get_layer("guess_norm").output)
        table = backbone.get_layer("embeddings_tokens").embeddings
        expected = np.asarray(states([ids, positions])) @ np.asarray(table).T
        np.testing.assert_allclose(logits, expected, atol=1e-5)

    def test_the_table_is_trained_once(self, settings):
        backbone = transformer.build("BERT", OPTIONS, settings)
        network = mlm.network(backbone, MODEL)
        shapes = [tuple(v.shape) for v in network.trainable_variables]
        words = vocabulary.read(settings.vocabulary)
        assert shapes.count((words.num_tokens, 8)) == 1
        assert len(network.trainable_variables) == len(backbone.trainable_variables) + 5

    def test_the_loss_counts_hidden_tokens_alone(self, settings):
        targets = tf.constant([[1, 2], [3, 0]])
        logits = tf.one_hot([[1, 0], [3, 3]], 4) * 5.0
        weights = tf.constant([[1.5, 1.5], [1.0, 0.0]])
        total = mlm.sums(targets, logits, weights).numpy()
        assert total[1:].tolist() == [2, 3]
        each = mlm.losses(targets, logits).numpy()
        assert total[0] == pytest.approx(each[0].sum() + each[1, 0])

    def test_measures(self):
        measured = mlm.measures(np.array([3 * np.log(8.0), 1.0, 3.0]))
        assert measured["perplexity"] == pytest.approx(8)
        assert measured["masked_accuracy"] == pytest.approx(1 / 3)
        assert mlm.headline(measured) == (
            "Guesses 33.3% of 3 hidden validation tokens right, perplexity 8.0"
        )


class TestCheck:
    def config(self, **sections):
        tree = {"data": {"source": "intents"}, "pretrain": {"objective": "masked_language"}}
        return RunConfig.model_validate(tree | {"model": {"backbone": "BERT"}} | sections)

    def test_accepts_transformers(self):
        mlm.check(self.config())
        mlm.check(self.config(model={"backbone": "MiniLM-L6"}))

    @pytest.mark.parametrize(
        ("sections", "message"),
        [
            ({"model": {"backbone": "StaticEmbedding"}}, r"model.backbone: StaticEmbedding cannot"),
            ({"text": {"augment": [{"mask": 0.1}]}}, r"text.augment: .* hides tokens itself"),
            ({"fit": {"label_smoothing": 0.1}}, r"fit.label_smoothing: not available"),
        ],
    )
    def test_refuses(self, sections, message):
        with pytest.raises(ValueError, match=message):
            mlm.check(self.config(**sections))

    def test_pictures_have_no_such_objective(self):
        with pytest.raises(ValueError, match=r"'masked_language' is not possible with images; exp"):
            self.config(data={"source": "digits"}, model={})


def test_a_vocabulary_without_a_mask_token_is_refused(tmp_path):
    rows = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abc"]
    (tmp_path / "vocab.txt").write_text("\n".join(rows), encoding="utf-8")
    config = TestCheck().config(text={"vocabulary": str(tmp_path)})
    with pytest.raises(ValueError, match=r"text.vocabulary: .* has no mask token"):
        mlm.begin(config, [], tmp_path / "run", anew=True)
