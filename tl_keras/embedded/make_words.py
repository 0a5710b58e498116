"""Makes `minilm_words.npz`, the table of token vectors that the package contains.

python -m tl_keras.embedded.make_words MODEL WORDNET tl_keras/embedded/minilm_words.npz

MODEL is a folder with config.json and model.safetensors of all-MiniLM-L6-v2, from
https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2. WORDNET is a folder with the files
`data.adj` to `data.verb` of WordNet 3.0; Debian's package `wordnet-base` installs them to
/usr/share/wordnet. On a CPU the script takes a few minutes.

The vector of a token is a linear function of the token's embedding in MiniLM. The function is
fitted so that the mean of a text's vectors is near to MiniLM's own vector of the text, over 18,000
definitions of WordNet. A function of single tokens, without texts, gave worse scores. README.md has
the scores of the table.
"""

import sys
from pathlib import Path

import numpy as np
import scipy.sparse

from tl_keras.backbones import transformer
from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.tokens.vocabulary import Vocabulary, read
from tl_keras.run.files import replacing

BACKBONE = "MiniLM-L6"
LAYERS = 4  # Their states gave better scores than the states of all six layers.
DIMENSIONS = 128
FILES = ("data.adj", "data.adv", "data.noun", "data.verb")
TEXTS = 5000  # Largest number of texts from one file, so that nouns do not prevail.
LENGTH = 34  # tokens, with start and end
# Of the mean variance. It keeps the solution stable, since some of MiniLM's dimensions hardly vary.
RIDGE = 1e-3
# 0: the dimensions keep the variance that they have in MiniLM. 1: all have the same variance.
WHITENING = 0.25


def make(model: Path, wordnet: Path, target: Path) -> None:
    """Writes the table: `table` (tokens, dimensions) int8, and `scale` (tokens,) float32.

    The vector of a token is its row of `table` times its `scale`. The first dimensions are those in
    which texts vary most. The vectors of special and unused tokens are zero.
    """
    settings = TextConfig(vocabulary=transformer.VOCABULARY, length=LENGTH)
    vocabulary = read(transformer.VOCABULARY)
    encode = tokens.encoder_of(vocabulary)
    texts = [
        tokens.framed(encode(text), vocabulary, LENGTH)
        for name in FILES
        for text in definitions(wordnet / name)
    ]
    embeddings, text_vectors = run(model, settings, texts)
    embeddings -= embeddings[words(vocabulary)].mean(axis=0)
    embeddings[~words(vocabulary)] = 0
    table = embeddings @ fit(bags(texts, len(embeddings)) @ embeddings, text_vectors)
    scale = np.abs(table).max(axis=1) / 127
    rounded = np.rint(table / np.where(scale > 0, scale, 1)[:, None])
    with replacing(target) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, table=rounded.astype(np.int8), scale=scale.astype(np.float32))


def definitions(file: Path) -> list[str]:
    """Returns texts of a file of WordNet, as in `tired: in need of rest; "a tired child"`."""
    lines = [line for line in file.read_text("latin-1").splitlines() if line[:2] != "  "]
    texts = []
    for line in lines[:: -(-len(lines) // TEXTS)]:
        fields, _, definition = line.partition(" | ")
        _, _, _, count, *rest = fields.split()
        # A number follows each lemma. An adjective may end with a marker, as in `galore(ip)`.
        lemmas = [lemma.partition("(")[0] for lemma in rest[: 2 * int(count, 16) : 2]]
        texts.append(f"{', '.join(lemmas).replace('_', ' ')}: {definition.strip()}")
    return texts


def words(vocabulary: Vocabulary) -> np.ndarray:
    """Returns for each token whether it occurs in texts: it is neither special nor unused."""
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    unused = (token.startswith("[unused") for token in vocabulary.tokens)
    return np.array(
        [
            token not in special and not is_unused
            for token, is_unused in zip(vocabulary.tokens, unused, strict=True)
        ]
    )


def run(model: Path, settings: TextConfig, texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns MiniLM's embeddings of all tokens, and its vectors of texts; both float64."""
    import keras

    backbone = transformer.build(BACKBONE, {"layers": LAYERS}, settings)
    weights = transformer.from_folder(BACKBONE, {"layers": LAYERS}, settings, str(model))
    for layer, arrays in weights:
        backbone.get_layer(layer).set_weights(arrays)
    bottom = keras.Model(backbone.input, backbone.get_layer("embeddings_norm").output)
    vocabulary = read(settings.vocabulary)
    alone = [[vocabulary.start, i, vocabulary.end] for i in range(vocabulary.num_tokens)]
    embeddings = bottom.predict(np.array(alone, np.int32), 1024, verbose=0)[:, 1]
    padded = np.zeros((len(texts), LENGTH), np.int32)
    for row, ids in zip(padded, texts, strict=True):
        row[: len(ids)] = ids
    vectors = backbone.predict(padded, 256, verbose=0)
    return embeddings.astype(np.float64), vectors.astype(np.float64)


def bags(texts: list[list[int]], num_tokens: int) -> scipy.sparse.csr_array:
    """Returns a matrix (texts, tokens) that averages vectors over each text without its ends."""
    inner = [ids[1:-1] for ids in texts]
    counts = np.array([len(ids) for ids in inner])
    places = (np.repeat(np.arange(len(inner)), counts), np.concatenate(inner))
    shape = (len(inner), num_tokens)
    return scipy.sparse.csr_array((np.repeat(1 / counts, counts), places), shape=shape)


def fit(means: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Returns the matrix that maps means of embeddings to the main directions of text vectors.

    Args:
      means: `(texts, channels)`, the mean of the embeddings of each text.
      vectors: `(texts, channels)`, MiniLM's vector of each text.
    """
    means, vectors = means - means.mean(axis=0), vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # Eigenvalues ascend.
    main = vectors @ axes[:, ::-1][:, :DIMENSIONS]
    main /= main.std(axis=0) ** WHITENING
    squares = means.T @ means
    squares += RIDGE * np.trace(squares) / len(squares) * np.eye(len(squares))
    return np.linalg.solve(squares, means.T @ main)


if __name__ == "__main__":
    make(*map(Path, sys.argv[1:]))
