import hashlib
from collections import Counter

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tl_keras.config import text as configs
from tl_keras.data.load import load
from tl_keras.modalities.text import sources
from tl_keras.modalities.text.drawn import intents


def test_texts_never_change():
    # Published scores refer to these texts. If this fails, the file is wrong, not the checksum.
    texts, labels = intents.texts()
    content = b"".join(b"%d\t%s\n" % line for line in zip(labels, texts, strict=True))
    assert hashlib.sha256(content).hexdigest() == (
        "37a24cb7c855669234fd86e8dd80fa54a9348df59e575a2af08f8c83a0e5130c"
    )
    assert texts.shape == (610,) and texts.dtype == object
    assert labels.dtype == np.int64


def test_classes_have_equal_sizes():
    counts = Counter(intents.texts()[1].tolist())
    assert sorted(counts) == list(range(len(intents.CLASSES)))
    assert set(counts.values()) == {76, 78}


def test_texts_are_short_and_distinct():
    texts = [text.decode() for text in intents.texts()[0]]
    words = [
        " ".join("".join(c for c in text.lower() if c.isalnum() or c == " ").split())
        for text in texts
    ]
    assert len(set(words)) == len(texts)
    assert all(text == text.strip() and 1 < len(text) < 120 for text in texts)


def test_words_alone_say_something_but_not_everything():
    texts, labels = intents.texts()
    train = np.zeros(len(labels), bool)
    for label in range(len(intents.CLASSES)):
        train[np.random.RandomState(label).permutation(np.flatnonzero(labels == label))[:40]] = True
    words = TfidfVectorizer(decode_error="strict").fit(texts[train])
    model = LogisticRegression(C=10.0).fit(words.transform(texts[train]), labels[train])
    # Chance is 0.125.
    assert 0.4 < model.score(words.transform(texts[~train]), labels[~train]) < 0.8


def test_texts_are_split_like_other_data():
    config = configs.from_tree({"data": {"source": "intents", "test": 0.4}})
    assert config.modality == "text"
    data = load(config)
    assert data.classes == intents.CLASSES
    seen = {split: {example.digest for example in data.splits[split]} for split in data.splits}
    assert sum(len(digests) for digests in seen.values()) == 610
    assert len(set().union(*seen.values())) == 610
    assert 0.3 < len(seen["test"]) / 610 < 0.5


def test_drawn_texts_are_the_bytes_of_their_files():
    drawn = sources.SOURCES["intents"](None)
    first = drawn.raw[0]
    assert first == b"Cancel it please" and drawn.classes[drawn.labels[0]] == "cancel"
    assert len(set(drawn.files)) == len(drawn.raw)
