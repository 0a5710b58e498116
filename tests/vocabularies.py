"""Vocabularies for tests, and their tokenisers in the package `tokenizers`."""

from pathlib import Path

import tokenizers
import unicode_texts
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from tl_keras.modalities.text.tokens import vocabulary
from tl_keras.modalities.text.tokens.vocabulary import Vocabulary


def foreign(lowercase: bool, strip_accents: bool, split_chinese: bool, folder: Path) -> Vocabulary:
    """Returns a small vocabulary that is not English, read from a vocab.txt."""
    folder.mkdir()
    text = "\n".join(unicode_texts.FOREIGN) + "\n"
    (folder / "vocab.txt").write_text(text, encoding="utf-8", newline="\n")
    fields = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    values = (lowercase, strip_accents, split_chinese)
    vocabulary.write_json(folder / "tokenizer_config.json", dict(zip(fields, values, strict=True)))
    return vocabulary.read(str(folder))


NAMES = {
    "english": None,
    "cased": (False, False, True),
    "accents": (True, False, True),
    "lower": (True, True, False),
    "chinese": (False, True, True),
}


def named(name: str, folder: Path) -> Vocabulary:
    """Returns a vocabulary of `NAMES`, whose files are written to a folder that does not exist."""
    how = NAMES[name]
    return foreign(*how, folder) if how else vocabulary.read("english")


def reference(words: Vocabulary) -> tokenizers.Tokenizer:
    """Returns the tokeniser of a WordPiece vocabulary in the package `tokenizers`."""
    model = WordPiece(
        {token: i for i, token in enumerate(words.tokens)},
        unk_token=words.tokens[words.unknown],
        max_input_chars_per_word=100,
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=words.split_chinese,
        strip_accents=words.strip_accents,
        lowercase=words.lowercase,
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = [words.tokens[i] for i in (0, words.unknown, words.start, words.end, words.mask)]
    tokenizer.add_special_tokens(special)
    tokenizer.encode_special_tokens = True
    return tokenizer
