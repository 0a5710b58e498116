"""The golden texts: `check.py` finds planted faults, and accepts a device without faults."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from device_check import runner
from text_devices import SENTENCES

from tl_keras.export.description import Examples
from tl_keras.modalities.text import bundle, golden, prepare, tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.device import predict
from tl_keras.modalities.text.tokens import wordpiece


@pytest.fixture
def check(monkeypatch, capsys):
    """Runs `check.py` of a folder; returns its exit status and what it printed."""
    return runner(monkeypatch, capsys, ("predict", "check", "wordpiece"))


def content_of(folder: Path) -> dict:
    return json.loads((folder / "golden" / "golden.json").read_text(encoding="utf-8"))


def test_a_device_without_faults_passes(text_device, check):
    device, *_ = text_device
    status, said = check(device)
    total = 2 * len(content_of(device)["texts"]) + 1
    assert (status, f"{total} of {total} files and answers checked, 0 differ" in said) == (0, True)
    assert "cannot show" not in said
    assert re.search(r"median milliseconds: model [\d.e-]+ \(1 thread\), tokeniser [\d.e-]+", said)


def test_golden_texts_are_of_the_data_set_and_hard_ones(text_device):
    device, *_ = text_device
    content = content_of(device)
    texts = [entry["text"] for entry in content["texts"]]
    assert set(texts[: golden.TEXTS]) <= set(SENTENCES) and len(texts) == golden.TEXTS + 6
    assert content["undetected"] == []
    lines = (device / "golden" / "texts.txt").read_text(encoding="utf-8").split("\n")
    assert lines == [*texts, ""]
    settings = TextConfig(length=32, vocabulary="english")
    for entry in content["texts"]:
        windows = prepare.windows(prepare.prepare(entry["text"], settings), settings)
        assert entry["windows"] == [ids.tolist() for ids in windows]
        assert sum(entry["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert [len(entry["windows"]) for entry in content["texts"][-2:]] == [2, 3]


def test_a_device_that_cuts_long_texts_off_is_found(text_device, check, tmp_path):
    device, *_ = text_device
    folder = Path(shutil.copytree(device, tmp_path / "board"))
    entries, encode = content_of(device)["texts"], tokens.encoder("english")
    interpreter, answers = predict.load(device / "model.tflite"), {}
    for number, entry in enumerate(entries):
        ids = tokens.framed(encode(entry["text"]), tokens.of("english"), 32)
        answer = predict.run(interpreter, [np.array(ids, np.int32)])["probabilities"]
        answers[str(number)] = {"probabilities": answer.tolist()}
    (folder / "answers.json").write_text(json.dumps(answers))
    status, said = check(folder, str(folder / "answers.json"))
    differing = [int(number) for number in re.findall(r"(?m)^ *(\d+) answer +DIFFERS", said)]
    assert status == 1 and set(differing[-2:]) == {len(entries) - 2, len(entries) - 1}, said


def wrong_tokens(**changes):
    """Returns a patch of `tokeniser` that normalises texts otherwise."""

    def patch(tokeniser):
        return lambda spec: tokeniser({**spec, **changes})

    return patch


@pytest.mark.parametrize(
    "changes",
    [
        {"lowercase": False},
        {"strip_accents": False},
        {"split_chinese": False},
        {"start": None},
        {"end": None},
        {"unknown": 1},
        {"length": 31},
        {"length": 33},
        {"length": None},
    ],
)
def test_a_wrong_tokeniser_is_found(text_device, check, changes):
    device, *_ = text_device
    status, said = check(device, tokeniser=wrong_tokens(**changes))
    assert status == 1
    assert re.search(r"(?m)^ *\d+ ids +DIFFERS +(window \d, )?(token \d+: )?exp", said), said
    assert not re.search("answer +DIFFERS", said)


@pytest.mark.parametrize(
    "fault",
    [
        lambda ids: ids[::-1].copy() + 1,
        lambda ids: ids[1:-1],
        lambda ids: np.where(ids > 1000, 100, ids).astype(np.int32),
        lambda ids: np.concatenate([ids, np.full(20, 999, np.int32)]),
    ],
)
def test_a_wrong_model_input_is_found(text_device, check, fault):
    device, *_ = text_device
    status, said = check(
        device, run=lambda run: lambda model, windows: run(model, [*map(fault, windows)])
    )
    assert status == 1 and re.search(r"(?m)^ *\d+ answer +DIFFERS", said), said


@pytest.mark.parametrize("name", ["spec.json", "golden/golden.json", "vocab.txt"])
def test_a_folder_that_was_copied_in_part_is_found(text_device, tmp_path, name):
    device, *_ = text_device
    folder = Path(shutil.copytree(device, tmp_path / "board"))
    (folder / name).unlink()
    command = [sys.executable, str(folder / "check.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{name} is missing" in said and said.endswith("copy the whole folder board/ again")


def test_another_model_is_found(text_device, check, tmp_path):
    device, *_ = text_device
    folder = Path(shutil.copytree(device, tmp_path / "board"))
    content = bytearray((folder / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.tflite").write_bytes(content)
    status, said = check(folder)
    assert status == 1 and "model        DIFFERS" in said and "is not the exported file" in said
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    content = content[:1000]
    (folder / "model.tflite").write_bytes(content)
    spec["model_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "spec.json").write_text(json.dumps(spec))
    status, said = check(folder)
    assert status == 1 and "cannot classify the texts in golden/" in said


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (lambda right: right, 0, "{all} of {all} answers checked, 0 differ"),
        (lambda right: {"0": right["0"]}, 0, "2 of {all} answers checked, 0 differ"),
        (lambda right: {"0": {"windows": right["0"]["windows"]}}, 0, "1 of {all} answers checked"),
        (
            lambda right: {"0": {"probabilities": right["0"]["probabilities"]}},
            0,
            "no token ids were checked, so the tokeniser is checked by its effect alone",
        ),
        (
            lambda right: {"1": {"windows": [[*right["1"]["windows"][0], 5]]}},
            1,
            "expected the end, received 5",
        ),
        (
            lambda right: {"1": {"windows": [right["1"]["windows"][0][:-1]]}},
            1,
            "102, received the end",
        ),
        (
            lambda right: {"1": {"windows": [[float("nan")]]}},
            1,
            "token 0: expected 101, received nan",
        ),
        (lambda right: {"1": {"windows": [[101.5]]}}, 1, "token 0: expected 101, received 101.5"),
        (
            lambda right: {"1": {"windows": [[float("inf")]]}},
            1,
            "token 0: expected 101, received inf",
        ),
        (
            lambda right: {"1": {"windows": right["1"]["windows"] * 2}},
            1,
            "expected 1 windows, received 2",
        ),
        (
            lambda right: {"1": {"probabilities": [float("nan")] * 3}},
            1,
            "1 answer    DIFFERS",
        ),
        (lambda right: {"99": right["0"]}, 2, "unknown text '99'; golden/texts.txt has 0 to"),
        (lambda right: {"0": {"probabilities": [1]}}, 2, "0: expected a list of 3 probabilities"),
        (lambda right: {"0": {"windows": [1]}}, 2, "0: expected a list of token ids for each"),
        (lambda right: {"0": {"logits": [1]}}, 2, "0: expected windows or probabilities, received"),
        (lambda right: {"0": {}}, 2, "0: expected windows or probabilities, received []"),
        (lambda right: {"0": [0.5, 0.2, 0.3]}, 2, 'expected JSON as in {"0": {"windows"'),
        (lambda right: {"0": {"windows": 3}}, 2, 'expected JSON as in {"0": {"windows"'),
        (lambda right: 3, 2, 'expected JSON as in {"0": {"windows"'),
        (lambda right: {}, 2, "0 of {all} answers checked"),
    ],
)
def test_answers_are_checked(text_device, check, tmp_path, change, status, message):
    device, *_ = text_device
    entries = content_of(device)["texts"]
    right = {
        str(i): {name: entry[name] for name in ("windows", "probabilities")}
        for i, entry in enumerate(entries)
    }
    (tmp_path / "answers.json").write_text(json.dumps(change(right)))
    ended, said = check(device, str(tmp_path / "answers.json"))
    assert ended == status and message.replace("{all}", str(2 * len(entries))) in said, said


def test_check_says_which_faults_the_answers_cannot_show(text_device, check, tmp_path):
    device, *_ = text_device
    folder = Path(shutil.copytree(device, tmp_path / "board"))
    content = {**content_of(device), "undetected": ["accents handled wrongly"]}
    (folder / "golden" / "golden.json").write_text(json.dumps(content))
    answers = {"0": {"probabilities": content["texts"][0]["probabilities"]}}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    status, said = check(folder, str(tmp_path / "answers.json"))
    assert status == 0
    assert "the probabilities in golden/ cannot show these faults of a device: accents" in said
    assert check(folder, "answers.json", "--model=a.tflite")[0] == 2


def test_examples_without_files_get_texts_made_of_their_tokens(text_device, check, tmp_path):
    device, examples, spec = text_device
    folder = Path(shutil.copytree(device, tmp_path / "board"))
    shutil.rmtree(folder / "golden")
    encode = bundle.device_encoder(spec)
    generated = Examples(examples.inputs, None, "test")
    golden.write(folder / "golden", folder / "model.tflite", spec, encode, generated)
    texts = [entry["text"] for entry in content_of(folder)["texts"]]
    assert len(texts) > golden.TEXTS and check(folder)[0] == 0
    assert texts[0].split()[0] in {text.split()[0].lower().replace("ç", "c") for text in SENTENCES}


def test_long_and_broken_texts_become_one_short_line():
    assert golden.one_line("a\r\nb\nc\ud800 ") == "a  b c"
    assert len(golden.one_line("word " * 10_000)) <= golden.CHARACTERS


def test_the_folder_stays_small(text_device):
    device, *_ = text_device
    assert sum(file.stat().st_size for file in (device / "golden").iterdir()) < 200_000


def test_wordpiece_is_copied_unchanged(text_device):
    device, *_ = text_device
    for file in (Path(wordpiece.__file__), wordpiece.CHARACTERS):
        assert (device / file.name).read_bytes() == file.read_bytes()
