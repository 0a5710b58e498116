"""The file for MediaPipe's TextClassifier: its answers, its length, and how MediaPipe reads it."""

import io
import json
import os
import shutil
import subprocess
import zipfile

import keras
import numpy as np
import pytest
import vocabularies
from ai_edge_litert.interpreter import Interpreter

import tl_keras
from tl_keras.config import text as configs
from tl_keras.config.paths import check_extras
from tl_keras.data.batching import ragged
from tl_keras.data.batching.inputs import Inputs, of_examples
from tl_keras.export.formats import flatbuffer
from tl_keras.modalities.text import mediapipe, prepare, tokens
from tl_keras.modalities.text.config import TextConfig, refused

WORDS = {
    "good": ("great", "wonderful", "charming", "a delight"),
    "bad": ("dull", "terrible", "weak", "a waste"),
}
SHORT = [
    (f"{start} {word}{end}", label)
    for label, words in WORDS.items()
    for word in words
    for start in ("This film is", "The songs are", "I find it", "My friend says: it is")
    for end in (".", "!", ", really", " and long")
]
# Longer than the file takes; the second is longer than the model takes, too.
LONG = [
    ("The film is great. " * 3 + "The film is dull. " * 5, "bad"),
    ("The film is dull, " * 4 + "The film is great, " * 16, "good"),
]
LENGTH = 64


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on short texts and a few long ones, in the formats float32 and mediapipe."""
    folder = tmp_path_factory.mktemp("mediapipe")
    splits = [("train", SHORT), ("val", [*SHORT[::3], *LONG]), ("test", [*SHORT[1::3], *LONG])]
    rows = [
        json.dumps({"text": f"{text} #{split}", "label": label, "split": split})
        for split, texts in splits
        for text, label in texts
    ]
    (folder / "texts.jsonl").write_text("\n".join(rows) + "\n")
    tree = {
        "data": {"path": str(folder / "texts.jsonl"), "source": "jsonl"},
        "text": {"length": LENGTH},
        "model": {"backbone": "StaticEmbedding", "weights": "none", "options": {"dimensions": 16}},
        "fit": {"epochs": 20, "learning_rate": 0.05},
        "export": {"formats": ["float32", "mediapipe"], "abstain": 0.8},
    }
    return tl_keras.finetune(tree, folder / "run")


def test_the_file_gives_the_answers_of_the_model(run):
    entry = run.result.export["mediapipe"]
    assert entry.status == "ok" and entry.path == "export/model_mediapipe.tflite"
    # The longest texts of train have some 15 tokens.
    assert entry.longest == 16 and entry.latency_ms is None and entry.max_abs_diff > 1e-3
    assert 0 < entry.cut < 0.1 and 0.9 < entry.agreement
    assert run.result.shipped.format == "float32"
    # The device divides the longest text into windows.
    assert run.result.shipped.device.identical == 1 == run.result.shipped.device.agreement


def test_the_file_has_the_vocabulary_the_labels_and_three_inputs(run):
    content = (run.workdir / "export" / "model_mediapipe.tflite").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt", "vocab.txt"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("labels.txt").decode() == "bad\ngood\n"
        words = archive.read("vocab.txt").decode().split("\n")
    assert tuple(words) == (*tokens.of("english").tokens, "")
    interpreter = Interpreter(model_content=content)
    shapes = {entry["name"]: tuple(entry["shape"]) for entry in interpreter.get_input_details()}
    assert shapes == dict.fromkeys(("ids", "segment_ids", "mask"), (1, 16))
    names = [entry["name"] for entry in interpreter.get_output_details()]
    assert names == ["probabilities", "abstain"]
    assert not flatbuffer.flex(content)


def test_a_file_with_wrong_answers_is_rejected(run, tmp_path, monkeypatch):
    copy = tmp_path / "run"
    shutil.copytree(run.workdir, copy)
    load = mediapipe.load

    def wrong(file):
        runner = load(file)
        return lambda inputs: {
            name: np.roll(values, 1, -1) if name == "probabilities" else values
            for name, values in runner(inputs).items()
        }

    monkeypatch.setattr(mediapipe, "load", wrong)
    again = tl_keras.export(copy, {"formats": ["mediapipe"]})
    assert "over export.max_difference" in again.result.export["mediapipe"].status
    assert (copy / "export" / "model_mediapipe.rejected.tflite").exists()
    assert not (copy / "export" / "model_mediapipe.tflite").exists()
    assert (copy / "export" / "model.tflite").exists()


@pytest.mark.parametrize(
    ("lengths", "limit", "expected"),
    [
        ([5] * 99 + [60], 256, 16),
        ([5] * 98 + [60] * 2, 256, 64),
        ([60] * 9, 50, 50),
        ([16], None, 16),
    ],
)
def test_the_length_covers_nearly_all_training_texts(lengths, limit, expected):
    rows = [np.ones(length, np.int32) for length in lengths]
    train = Inputs(np.zeros(len(rows)), ragged.of(rows, np.empty(0, np.int32)))
    settings = TextConfig(length=limit or "auto", vocabulary="english")
    for fixed in (None, 24):
        ids = keras.Input((fixed,), dtype="int32")
        model = keras.Model(ids, keras.layers.Embedding(9, 2)(ids))
        assert mediapipe.length_for(model, train, settings) == (fixed or expected)


def test_other_tokenisers_are_refused(tmp_path):
    vocabularies.foreign(False, False, True, tmp_path / "cased")
    cased = TextConfig(vocabulary=str(tmp_path / "cased"))
    assert "MediaPipe turns text into lower case" in refused("mediapipe", cased)
    words = tokens.of("english")
    (tmp_path / "named").mkdir()
    renamed = ["<s>" if word == "[CLS]" else word for word in words.tokens]
    (tmp_path / "named" / "vocab.txt").write_text("".join(f"{word}\n" for word in renamed))
    named = TextConfig(vocabulary=str(tmp_path / "named"))
    assert "MediaPipe needs the tokens [CLS], [SEP], [UNK]" in refused("mediapipe", named)
    assert refused("mediapipe", TextConfig(vocabulary="english")) is None
    assert refused("mediapipe", TextConfig(vocabulary=str(tmp_path / "missing"))) is None
    assert refused("float32", cased) is None


def test_images_need_no_such_file():
    config = configs.from_tree({"data": {"source": "digits"}, "export": {"formats": ["mediapipe"]}})
    with pytest.raises(ValueError, match="MediaPipe takes the LiteRT files of images as they are"):
        check_extras(config)


MEDIAPIPE = """
import json, sys
from mediapipe.tasks.python import BaseOptions, text
options = text.TextClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with text.TextClassifier.create_from_options(options) as classifier:
    for line in json.loads(sys.argv[2]):
        found = classifier.classify(line).classifications[0]
        print(json.dumps({own.category_name: own.score for own in found.categories}))
"""


def test_mediapipe_gives_the_same_answers(run):
    python = os.environ.get("TL_KERAS_TEST_DEVICE_PYTHON")
    if not python:
        pytest.skip("TL_KERAS_TEST_DEVICE_PYTHON is not set: no device environment to test in")
    script = "import importlib.util as u, sys; sys.exit(u.find_spec('mediapipe') is None)"
    if subprocess.run([python, "-c", script]).returncode:
        pytest.skip("mediapipe is not installed in the device environment")
    file = run.workdir / "export" / "model_mediapipe.tflite"
    same = [text for text, _ in (*SHORT[::7], *LONG)]
    same += ["", "GREAT [SEP] film", "don't—stop 日本語"]
    differ = ["Ünïcödé film, É"]  # MediaPipe keeps accents.
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONWARNINGS")}
    line = [python, "-c", MEDIAPIPE, str(file), json.dumps([*same, *differ])]
    done = subprocess.run(line, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    settings = TextConfig(length=LENGTH, vocabulary="english")
    runner = mediapipe.load(file)
    texts = [prepare.prepare(text, settings) for text in [*same, *differ]]
    expected = runner(of_examples(np.zeros(len(texts)), texts, settings))["probabilities"]
    given = np.array([[row["bad"], row["good"]] for row in rows])
    np.testing.assert_allclose(given[: len(same)], expected[: len(same)], atol=1e-5)
    assert np.abs(given[len(same) :] - expected[len(same) :]).min() > 1e-5
