"""Examples that are longer than a model takes are answered by the mean over their windows."""

import numpy as np
import pytest

from tl_keras.config import text as configs
from tl_keras.data.batching.inputs import of_examples, over_windows
from tl_keras.modalities.text.prepare import prepare, shortened, windows

START, END = 101, 102


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    data = {"path": str(tmp_path), "modality": "text"}
    model = {"backbone": "StaticEmbedding", "weights": "minilm"}
    return configs.from_tree({"data": data, "model": model, "text": {"length": 10}}).settings


def sums(inputs):
    return inputs.array[:].sum(axis=1, keepdims=True).astype(np.float32)


def test_start_of_a_text_is_as_long_as_the_model_takes(settings):
    ids = prepare(" ".join(["good"] * 30), settings)
    assert shortened(ids, settings).tolist() == [START, *ids[1:9], END]
    assert shortened(ids[:10], settings).tolist() == ids[:10].tolist()


@pytest.mark.parametrize("words", [1, 8, 9, 16, 17, 100])
def test_windows_cover_the_whole_text_once(settings, words):
    ids = prepare(" ".join(["good"] * words), settings)
    parts = windows(ids, settings)
    assert len(parts) == -(-words // 8)
    assert all(len(part) <= 10 and part[0] == START and part[-1] == END for part in parts)
    assert sum(len(part) - 2 for part in parts) == words
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_answer_is_the_mean_over_the_windows(settings):
    texts = ["good film", " ".join(map(str, range(30))), "bad"]
    inputs = of_examples(np.zeros(3, np.int64), [prepare(t, settings) for t in texts], settings)
    assert len(inputs) == 3 and inputs.lengths.tolist() == [4, 10, 3]
    answers = over_windows(sums, inputs)
    parts = windows(prepare(texts[1], settings), settings)
    assert answers[1, 0] == pytest.approx(np.mean([part.sum() for part in parts]))
    assert answers[0, 0] == prepare(texts[0], settings).sum()


def test_part_of_the_examples_has_their_windows_only(settings):
    texts = [" ".join(["good"] * n) for n in (30, 2, 20)]
    inputs = of_examples(np.zeros(3, np.int64), [prepare(t, settings) for t in texts], settings)
    whole = over_windows(sums, inputs)
    assert np.array_equal(over_windows(sums, inputs.part(np.array([2, 0]))), whole[[2, 0]])
    assert inputs.part(np.array([1])).windows is None


def test_short_examples_have_no_windows(settings):
    inputs = of_examples(np.zeros(1, np.int64), [prepare("good", settings)], settings)
    assert inputs.windows is None and np.array_equal(over_windows(sums, inputs), sums(inputs))
