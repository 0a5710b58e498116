"""Masked language modelling: a model learns to guess hidden tokens of texts, as BERT does.

See arXiv 1810.04805. The second objective of the paper, the order of sentences, is left out.
Importing this module imports neither Keras nor TensorFlow.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from tl_keras.backbones import table
from tl_keras.data.wording import number_of
from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.config import KEPT
from tl_keras.modalities.text.originals import decoded
from tl_keras.modalities.text.tokens import learn, vocabulary
from tl_keras.modalities.text.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Shares of the guessed tokens that the mask token or a random token replaces; the others stay.
MASK, RANDOM = 0.8, 0.1
FEWEST_TOKENS = 2  # of a piece; a single token cannot be guessed, since it has no context
MULTIPLE = 4  # Guesses per text are padded to a multiple of this, so that fewer shapes occur.
TOO_FEW = f"texts of fewer than {FEWEST_TOKENS} tokens"
MEASURES = {
    "loss": "Loss (nats per hidden token)",
    "perplexity": "Perplexity",
    "masked_accuracy": "Hidden tokens guessed right",
    "guesses": "Hidden tokens",
}

Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]


def check(config: Any) -> None:
    """Checks the config of a run before its data are read.

    Raises:
      ValueError: the backbone has no states of tokens, or a field has no effect.
    """
    if table.token_layers(config.model) is None:
        raise ValueError(
            f"model.backbone: {config.model.backbone} cannot guess hidden tokens, because the "
            "masked_language objective needs a transformer whose token vectors it knows; expected "
            "BERT, MiniLM-L6, a preset of KerasHub, or a folder in Hugging Face's or KerasHub's "
            "form"
        )
    if config.text.augment:
        raise ValueError(
            "text.augment: pretrain.objective 'masked_language' hides tokens itself; expected [], "
            f"received {len(config.text.augment)} operations"
        )
    if config.fit.label_smoothing:
        raise ValueError(
            "fit.label_smoothing: not available with pretrain.objective 'masked_language'; "
            f"expected 0, received {config.fit.label_smoothing:g}"
        )


def begin(config: Any, contents: Iterable[bytes], folder: Path, anew: bool) -> Any:
    """Returns the settings with the vocabulary, which lies in `vocabulary/` of the run's folder.

    The vocabulary is learned from the training texts if `model.weights` is `none` and the config
    names no vocabulary.

    Args:
      contents: the training texts, in UTF-8.
      folder: the folder of the run.
      anew: whether the vocabulary is written; otherwise it is read.

    Raises:
      ValueError: the texts have no words, or the vocabulary has no mask token.
    """
    from tl_keras.modalities.text import prepare

    place, settings = folder / KEPT, config.settings
    learns = config.text.vocabulary is None and not config.model.is_pretrained
    if learns and anew:
        chosen = config.pretrain
        words = learn.learn(map(decoded, contents), chosen.vocabulary, chosen.lowercase)
        logging.info("vocabulary: learned %s", number_of(words.num_tokens, "token"))
        vocabulary.write(words, place)
    if learns:
        settings = settings.model_copy(update={"vocabulary": str(place)})
    if tokens.of(settings.vocabulary).mask is None:
        raise ValueError(
            f"text.vocabulary: {settings.vocabulary!r} has no mask token, by which tokens are "
            "hidden; expected a vocabulary with [MASK] or <mask>, such as english"
        )
    if anew and not learns:
        prepare.keep(settings, folder)
    return settings


def pieces(content: bytes, settings: Any) -> list[np.ndarray]:
    """Returns the token ids of a text, in pieces of at most `text.length` ids, each int32.

    Pieces of fewer than `FEWEST_TOKENS` tokens are left out.
    """
    from tl_keras.modalities.text import prepare

    words = tokens.of(settings.vocabulary)
    least = FEWEST_TOKENS + len(tokens.framed([], words, None))
    ids = prepare.encoded(decoded(content), settings, None)
    return [piece for piece in prepare.windows(ids, settings) if len(piece) >= least]


def facts(settings: Any) -> dict[str, int]:
    """Returns the number of tokens of the vocabulary."""
    return {"vocabulary": tokens.of(settings.vocabulary).num_tokens}


def network(backbone: "keras.Model", model: Any) -> "keras.Model":
    """Returns a model from token ids and positions of hidden tokens to logits of all tokens.

    The logits, `(batch, guesses, tokens) float32`, are the products of a state with the vector of
    each token in the backbone's own table (tied embeddings), plus a bias for each token.

    Args:
      backbone: the encoder, whose layers the model shares.
      model: the section `model` of the config.
    """
    import keras

    from tl_keras.modalities.text.objectives.tied import TiedLogits

    states, embedding = table.token_layers(model) or ("", "")
    vectors = backbone.get_layer(embedding)
    positions = keras.Input((None,), dtype="int32", name="hidden_positions")
    x = keras.ops.cast(backbone.get_layer(states).output, "float32")
    x = keras.ops.take_along_axis(x, keras.ops.expand_dims(positions, -1), axis=1)
    x = keras.layers.Dense(vectors.output_dim, "gelu", name="guess_dense", dtype="float32")(x)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="guess_norm", dtype="float32")(x)
    x = TiedLogits(vectors, name="guess_logits", dtype="float32")(x)
    return keras.Model([backbone.input, positions], x, name="masked_language")


def batcher(config: Any, settings: Any) -> Callable[[np.ndarray, Sequence[int]], Batch]:
    """Returns a function from padded token ids, `(batch, length)`, and a seed to a training batch.

    Its result is `((ids with hidden tokens, positions), targets, weights)`. Positions, targets and
    weights are `(batch, guesses)`. `guesses` is the number of guesses in the longest text, rounded
    up to a multiple of `MULTIPLE`. In a shorter text, the places that are left over have the weight
    0. The mean of all weights is 1.
    """
    words, share = tokens.of(settings.vocabulary), config.pretrain.masked
    special = {0, words.start, words.end, words.unknown, words.mask} - {None}
    ordinary = np.setdiff1d(np.arange(words.num_tokens), list(special)).astype(np.int32)

    def batch(ids: np.ndarray, seed: Sequence[int]) -> Batch:
        return hide_tokens(ids, ordinary, words, share, np.random.default_rng(seed))

    return batch


def hide_tokens(
    ids: np.ndarray,
    ordinary: np.ndarray,
    words: Vocabulary,
    share: float,
    random: np.random.Generator,
) -> Batch:
    """Returns a training batch, see `batcher`.

    Args:
      ids: `(batch, length) int32`; zeros at the end are padding.
      ordinary: the ids of all tokens but the special ones; only these are guessed.
      words: the vocabulary, which must have a mask token.
      share: share of the ordinary tokens of a text that are guessed, at least one.
    """
    assert words.mask is not None  # `begin` has checked this.
    is_ordinary = np.zeros(words.num_tokens, bool)
    is_ordinary[ordinary] = True
    counts = is_ordinary[ids].sum(1)
    wanted = np.where(counts, np.maximum(1, np.round(share * counts)), 0).astype(int)
    most = min(ids.shape[1], max(1, -(-wanted.max(initial=1) // MULTIPLE)) * MULTIPLE)
    drawn = random.random(ids.shape) + 2 * ~is_ordinary[ids]
    positions = np.argsort(drawn, axis=1)[:, :most].astype(np.int32)
    targets = np.take_along_axis(ids, positions, axis=1)
    is_guess = np.arange(most) < wanted[:, None]
    kind = random.random(positions.shape)
    others = random.choice(ordinary, positions.shape)
    shown = np.where(kind < MASK, words.mask, np.where(kind < MASK + RANDOM, others, targets))
    changed = ids.copy()
    np.put_along_axis(changed, positions, np.where(is_guess, shown, targets), axis=1)
    weights = is_guess * (is_guess.size / max(1, is_guess.sum()))
    return (changed, positions), targets, weights.astype(np.float32)


def smoothed(targets: "tf.Tensor", smoothing: "tf.Tensor") -> "tf.Tensor":
    """Returns the targets unchanged: `check` refuses label smoothing."""
    return targets


def losses(targets: "tf.Tensor", logits: "tf.Tensor") -> "tf.Tensor":
    """Returns the cross-entropy of each guess in nats, `(batch, guesses)`."""
    import tensorflow as tf

    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)


def sums(targets: "tf.Tensor", logits: "tf.Tensor", weights: "tf.Tensor") -> "tf.Tensor":
    """Returns the summed loss, the number of right guesses, and the number of guesses, `(3,)`."""
    import tensorflow as tf

    is_guess = tf.cast(weights > 0, tf.float32)
    right = tf.cast(tf.argmax(logits, -1, targets.dtype) == targets, tf.float32)
    parts = losses(targets, logits), right, tf.ones_like(right)
    return tf.stack([tf.reduce_sum(part * is_guess) for part in parts])


def measures(total: np.ndarray) -> dict[str, float]:
    """Returns the measures of a split, by the keys of `MEASURES`, from the sums of its batches."""
    loss, right, guesses = map(float, total)
    loss /= max(1.0, guesses)
    perplexity = math.exp(min(loss, 50.0)) if math.isfinite(loss) else loss
    accuracy = right / max(1.0, guesses)
    return {
        "loss": loss,
        "perplexity": perplexity,
        "masked_accuracy": accuracy,
        "guesses": int(guesses),
    }


def headline(measured: Mapping[str, float]) -> str:
    """Returns the measures of the validation texts in one line."""
    return (
        f"Guesses {measured['masked_accuracy']:.1%} of {measured['guesses']:,.0f} hidden "
        f"validation tokens right, perplexity {measured['perplexity']:.1f}"
    )
