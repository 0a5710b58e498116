"""The folder for a device: its code gives the same token ids as training, in each language."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import unicode_texts
import vocabularies
from text_devices import (
    ABOUT,
    CLASSES,
    COMPILE,
    SENTENCES,
    compiled,
    examples_of,
    filled,
    ids_of,
    model_file,
    spec_of,
)
from tokenizers import models, pre_tokenizers

from tl_keras.data.batching.inputs import over_windows
from tl_keras.export import parity
from tl_keras.modalities.text import bundle, prepare, tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.device import predict
from tl_keras.modalities.text.tokens import vocabulary, wordpiece

FUZZED = 5000
LONG = [("I was moved", "Great songs!"), ("A dull film.", "Such a waste")]
# Reads texts as CPP does.
KOTLIN = """
import java.io.DataInputStream
import java.io.File
fun linesOf(name: String) = File(name).readText().removeSuffix("\\n").split('\\n')
fun main(given: Array<String>) {
    val tokens = Tokens(linesOf(given[0]), linesOf(given[1]))
    val input = DataInputStream(System.`in`.buffered())
    while (true) {
        val size = StringBuilder()
        var next = input.read()
        while (next >= 0 && next != 10) { size.append(next.toChar()); next = input.read() }
        if (next < 0) break
        val bytes = ByteArray(size.toString().toInt())
        input.readFully(bytes)
        val text = String(bytes, Charsets.UTF_8)
        for (window in tokens.encode(text)) print(window.joinToString(" ") + " / ")
        println(tokens.pieces(text).joinToString(" "))
    }
}
"""
# A stand-in for LiteRT's C library: the first probability is the number of token ids in a window.
C_API = """
#pragma once
#include <cstddef>
#include <cstdint>
typedef enum { kTfLiteOk = 0 } TfLiteStatus;
typedef enum { kTfLiteFloat32 = 1, kTfLiteUInt8 = 3 } TfLiteType;
typedef struct { float scale; int32_t zero_point; } TfLiteQuantizationParams;
struct TfLiteTensor { int length; float values[3]; };
struct TfLiteModel {};
struct TfLiteInterpreterOptions {};
struct TfLiteInterpreter { TfLiteTensor input, output; };
inline TfLiteModel* TfLiteModelCreateFromFile(const char* path) {
  return path[0] == 'm' ? new TfLiteModel() : nullptr;
}
inline TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate() {
  return new TfLiteInterpreterOptions();
}
inline void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions*, int32_t) {}
inline TfLiteInterpreter* TfLiteInterpreterCreate(TfLiteModel*, TfLiteInterpreterOptions*) {
  return new TfLiteInterpreter();
}
inline TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*) { return kTfLiteOk; }
inline TfLiteTensor* TfLiteInterpreterGetInputTensor(TfLiteInterpreter* i, int32_t) {
  return &i->input;
}
inline int32_t TfLiteTensorDim(const TfLiteTensor* t, int32_t axis) {
  return axis ? t->length : 1;
}
inline TfLiteStatus TfLiteInterpreterResizeInputTensor(TfLiteInterpreter* i, int32_t, const int* d,
                                                       int32_t) {
  i->input.length = d[1];
  return kTfLiteOk;
}
inline TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor* t, const void*, size_t bytes) {
  return bytes == t->length * sizeof(int32_t) ? kTfLiteOk : static_cast<TfLiteStatus>(1);
}
inline TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter* i) {
  i->output.values[0] = i->input.length;
  return kTfLiteOk;
}
inline int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter*) { return 1; }
inline const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter* i, int32_t) {
  return &i->output;
}
inline TfLiteQuantizationParams TfLiteTensorQuantizationParams(const TfLiteTensor*) { return {}; }
inline int32_t TfLiteTensorNumDims(const TfLiteTensor*) { return 2; }
inline TfLiteType TfLiteTensorType(const TfLiteTensor*) { return kTfLiteFloat32; }
inline const void* TfLiteTensorData(const TfLiteTensor* t) { return t->values; }
"""


def location_of(name: str, folder: Path) -> str:
    vocabularies.named(name, folder)
    return "english" if name == "english" else str(folder)


def check_program(command: list[str], spec: dict) -> None:
    """Fails unless a program gives the ids of wordpiece.py for all texts of the tests."""
    words = vocabulary.read(spec["vocabulary"])
    settings = TextConfig(length=spec["length"], vocabulary=spec["vocabulary"])
    texts = [*unicode_texts.BY_HAND, *unicode_texts.fuzzed(FUZZED, 2, words.tokens)]
    texts = [unicode_texts.valid(text) for text in (*texts, *unicode_texts.long_lines(100_000))]
    contents = [text.encode() for text in texts] + unicode_texts.NOT_UTF8
    wrong = []
    for content, actual in zip(contents, ids_of(command, contents), strict=True):
        pieces = wordpiece.encoder_of(words)(content.decode("utf-8", "replace"))
        if actual != (*windows_of(pieces, settings), pieces):
            wrong.append(content)
    assert wrong == []


def windows_of(pieces: list[int], settings: TextConfig) -> list[list[int]]:
    """Returns the windows of a text as in training, from its token ids."""
    ids = np.array(tokens.framed(pieces, tokens.of(settings.vocabulary), None), np.int32)
    return [window.tolist() for window in prepare.windows(ids, settings)]


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler on this machine")
@pytest.mark.parametrize("name", vocabularies.NAMES)
def test_cpp_gives_the_ids_of_training(name, tmp_path):
    spec = spec_of(location_of(name, tmp_path / "vocabulary"))
    check_program(compiled(tmp_path, spec), spec)


@pytest.mark.skipif(not shutil.which("kotlinc"), reason="no Kotlin compiler on this machine")
@pytest.mark.parametrize("name", vocabularies.NAMES)
def test_kotlin_gives_the_ids_of_training(name, tmp_path):
    spec = spec_of(location_of(name, tmp_path / "vocabulary"))
    bundle.write_tokeniser(tmp_path, spec)
    filled(tmp_path, "Tokens.kt", spec)
    (tmp_path / "main.kt").write_text(KOTLIN)
    line = ["kotlinc", "Tokens.kt", "main.kt", "-include-runtime", "-d", "main.jar"]
    subprocess.run(line, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    files = [str(tmp_path / name) for name in ("main.jar", "vocab.txt", "characters.txt")]
    check_program(["java", "-jar", *files], spec)


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler on this machine")
@pytest.mark.parametrize("fixed", [0, 64])
def test_the_cpp_program_classifies_lines(tmp_path, fixed):
    spec = spec_of("english")
    bundle.write_tokeniser(tmp_path, spec)
    for name in ("tokens.h", "classify.cc"):
        filled(tmp_path, name, spec, fixed)
    header = tmp_path / "tensorflow" / "lite" / "c" / "c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text(C_API)
    subprocess.run([*COMPILE, "-I.", "classify.cc", "-o", "classify"], cwd=tmp_path, check=True)

    def run(*given: str) -> subprocess.CompletedProcess:
        texts = f"A good film\n\nÜber alles\n{'Good ' * 63}".encode()
        return subprocess.run(
            [str(tmp_path / "classify"), *given], input=texts, cwd=tmp_path, capture_output=True
        )

    done = run("m", "vocab.txt", "characters.txt")
    first, *rows = done.stdout.decode().splitlines()
    assert first == "0" and rows[1] == '0.000000 so "so"'
    lengths = [float(row.split()[0]) for row in (rows[0], rows[4], rows[8], rows[12])]
    # The last text has 63 tokens, one more than fits: windows of 34 and 33 ids with their ends.
    assert lengths == ([fixed] * 4 if fixed else [5, 2, 5, 33.5])
    for given, message in (
        (("m",), "usage: classify"),
        (("x", "vocab.txt", "characters.txt"), "x is not a LiteRT model"),
        (("m", "missing", "characters.txt"), "cannot read missing or characters.txt"),
        (("m", "vocab.txt", "missing"), "cannot read vocab.txt or missing"),
    ):
        done = run(*given)
        assert done.returncode == 2 and message in done.stderr.decode()


def test_python_on_the_device_needs_neither_tensorflow_nor_this_package(text_device, tmp_path):
    device, _, spec = text_device
    texts = [*unicode_texts.BY_HAND, *unicode_texts.fuzzed(300, 3, tokens.of("english").tokens)]
    # JSON would join the halves of a surrogate pair.
    (tmp_path / "texts.py").write_text(ascii(texts))
    script = (
        "import ast, json, pathlib, sys; import predict\n"
        "spec = json.loads(pathlib.Path('spec.json').read_text('utf-8'))\n"
        "encode = predict.tokeniser(spec)\n"
        "texts = ast.literal_eval(pathlib.Path(sys.argv[1]).read_text())\n"
        "print(json.dumps([[ids.tolist() for ids in encode(text)] for text in texts]))\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'tensorflow', 'keras', 'tl_keras', 'tokenizers'}, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "texts.py")],
        cwd=device,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    encode, settings = tokens.encoder("english"), TextConfig(length=32, vocabulary="english")
    right = [windows_of(encode(text), settings) for text in texts]
    assert json.loads(done.stdout) == right and max(map(len, right)) > 1


def test_predict_prints_a_line_for_each_text(text_device):
    device, examples, spec = text_device
    texts = [path.read_text(encoding="utf-8") for path in examples.paths[:3]]
    given = [sys.executable, "predict.py"]
    listed = subprocess.run([*given, *texts], cwd=device, capture_output=True, check=True)
    lines = "\r\n".join(texts).encode()
    piped = subprocess.run(given, input=lines, cwd=device, capture_output=True, check=True)
    assert listed.stdout == piped.stdout
    rows = [json.loads(row) for row in listed.stdout.decode().splitlines()]
    interpreter = predict.load(device / "model.tflite")
    for row, text in zip(rows, texts, strict=True):
        ids = tokens.framed(tokens.encoder("english")(text), tokens.of("english"), 32)
        answer = predict.run(interpreter, [np.array(ids, np.int32)])["probabilities"]
        assert row["text"] == text and row["prediction"] == CLASSES[answer.argmax()]
        assert list(row["probabilities"]) == CLASSES
        np.testing.assert_allclose(list(row["probabilities"].values()), answer, atol=1e-6)


def test_predict_takes_any_bytes(text_device):
    device, *_ = text_device
    done = subprocess.run(
        [sys.executable, "predict.py"], input=b"caf\xe9\n\n\0x", cwd=device, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["caf\ufffd", "", "\0x"]


def test_a_missing_or_foreign_model_is_named(text_device, tmp_path):
    device, *_ = text_device
    folder = Path(shutil.copytree(device, tmp_path / "board"))
    (folder / "model.tflite").unlink()
    line = [sys.executable, "predict.py", "a"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and "no model: " in done.stderr
    (folder / "model.tflite").write_bytes(b"no model")
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and "model.tflite is not a LiteRT model" in done.stderr


def test_the_spec_has_all_that_a_program_needs_and_no_path(text_device):
    device, _, spec = text_device
    written = json.loads((device / "spec.json").read_text(encoding="utf-8"))
    content = (device / "model.tflite").read_bytes()
    assert written["model_sha256"] == hashlib.sha256(content).hexdigest()
    assert written["vocabulary"] == tokens.of("english").digest
    assert (written["start"], written["end"], written["unknown"]) == (101, 102, 100)
    assert written["length"] == 32 and written["labels"] == CLASSES
    assert written["lowercase"] and written["strip_accents"] and written["split_chinese"]


def test_all_placeholders_are_filled(text_device):
    device, *_ = text_device
    for file in device.iterdir():
        if file.suffix in (".md", ".cc", ".h", ".kt"):
            assert "$" not in file.read_text(encoding="utf-8"), file
    readme = (device / "README.md").read_text(encoding="utf-8")
    for file in device.iterdir():
        if file.name not in ("README.md", "model.tflite"):
            assert f"`{file.name}{'/' * file.is_dir()}`" in readme, file.name
    assert r'    "so \"so\"",' in (device / "classify.cc").read_text()


def test_the_device_path_is_measured_on_the_texts(text_device):
    device, examples, spec = text_device
    measured = bundle.measure(device / "model.tflite", spec, examples)
    assert measured.identical == 1 and measured.agreement == 1 and measured.n == 100
    assert "100% of the texts have exactly the same token ids" in bundle.measured_sentence(measured)
    examples.paths[7].write_text("Another text")
    changed = bundle.measure(device / "model.tflite", spec, examples)
    assert changed.identical == 0.99
    examples.paths[7].write_text(SENTENCES[7], encoding="utf-8")


def test_long_texts_are_measured_on_all_their_windows(text_device, tmp_path):
    device, _, spec = text_device
    settings = TextConfig(length=32, vocabulary="english")
    long = [f"{' '.join([first] * 12)} {' '.join([last] * 9)}" for first, last in LONG]
    examples = examples_of(settings, tmp_path / "texts", [*long, *SENTENCES[:3]])
    assert examples.inputs.windows.counts.tolist() == [3, 3, 1, 1, 1]
    measured = bundle.measure(device / "model.tflite", spec, examples)
    assert measured.identical == 1 and measured.agreement == 1
    runner = parity.load_litert(device / "model.tflite")
    right = over_windows(runner, examples.inputs)["probabilities"]
    interpreter, encode = predict.load(device / "model.tflite"), bundle.device_encoder(spec)
    for text, answer in zip(long, right, strict=False):
        row = predict.predict(interpreter, text, spec, encode)
        assert list(row["probabilities"].values()) == pytest.approx(answer, abs=1e-6)
        first = predict.run(interpreter, encode(text)[:1])["probabilities"]
        assert np.abs(first - answer).max() > 0.05


def test_a_model_without_a_limit_gets_whole_texts(tmp_path):
    settings = TextConfig(vocabulary="english")
    spec = bundle.spec_of(settings, CLASSES, "float32", None)
    assert spec["length"] is None and window_step(spec) == (
        "2. Put the id 101 before and 102 after the ids of each window."
    )
    encode = bundle.device_encoder(spec)
    (ids,) = encode("good " * 500)
    assert len(ids) == 502
    if shutil.which("g++"):
        ((window, pieces),) = ids_of(compiled(tmp_path, spec), [b"good " * 500])
        assert window == ids.tolist() and pieces == window[1:-1]


def window_step(spec: dict) -> str:
    words = bundle.words(spec, 0)
    return f"{words['window_words']}. {words['frame_words']}"


def test_a_model_of_fixed_length_gets_padding(tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 6), tf.int32)])
    def serve(token_ids):
        return {"probabilities": tf.cast(token_ids, tf.float32) / 2}

    module = tf.Module()
    module.serve = serve
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    assert bundle.fixed_length(tmp_path / "model.tflite") == 6
    interpreter = predict.load(tmp_path / "model.tflite")
    (answer,) = predict.run(interpreter, [np.array([2, 4], np.int32)]).values()
    assert answer.tolist() == [1, 2, 0, 0, 0, 0]
    words = bundle.words(spec_of("english"), 6)
    assert words["padding_sentence"] == "The model takes 6 ids: fill a shorter text up with 0."


def test_other_tokenisers_get_a_folder_for_python_alone(tmp_path):
    rows = ["<s>", "<pad>", "</s>", "<unk>", *"abdefghilmnorstuvwy"]
    model = models.WordLevel({row: i for i, row in enumerate(rows)}, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    (tmp_path / "words").mkdir()
    tokenizer.save(str(tmp_path / "words" / "tokenizer.json"))
    settings = TextConfig(length=32, vocabulary=str(tmp_path / "words"))
    model_file(tmp_path / "model.tflite", len(rows))
    examples = examples_of(settings, None)
    spec = bundle.spec_of(settings, CLASSES, "float32", None)
    device = tmp_path / "device"
    bundle.write(device, tmp_path / "model.tflite", spec, ABOUT, examples, "- 1 ms")
    names = {"predict.py", "check.py", "tokenizer.json", "spec.json", "README.md", "golden"}
    assert {file.name for file in device.iterdir()} == names
    readme = (device / "README.md").read_text(encoding="utf-8")
    assert "pip install ai-edge-litert numpy tokenizers" in readme and "Kotlin code" not in readme
    assert "exchange the ids 0 and 1, since padding is 0 here" in readme
    encode, right = predict.tokeniser(spec, device), tokens.encoder(str(tmp_path / "words"))
    for text in ("sad <s> film", "\ud800 a", "\U0001f600\ud83d"):
        assert np.concatenate(encode(text)).tolist() == right(text)
    done = subprocess.run([sys.executable, "check.py"], cwd=device, capture_output=True, text=True)
    assert done.returncode == 0 and "0 differ" in done.stdout, done.stdout + done.stderr
