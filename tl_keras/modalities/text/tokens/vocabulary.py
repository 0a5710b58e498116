"""Reads vocabularies from their location, and writes them.

A location is a string: `english`, or the path of a folder, of vocab.txt or of tokenizer.json. This
module imports neither NumPy nor TensorFlow.
"""

import dataclasses
import functools
import gzip
import importlib.resources
import json
from pathlib import Path
from typing import Any

from tl_keras.modalities.text.tokens import special_tokens, tokenizer_json
from tl_keras.modalities.text.tokens.definition import FIELD, Vocabulary, how_of, wordpiece
from tl_keras.run.files import write_json, write_text

__all__ = ["EMBEDDED", "FIELD", "Vocabulary", "file_of", "read", "write"]

# Vocabularies inside the package: the file in tl_keras/embedded. embedded/README.md has its origin.
EMBEDDED = {"english": "english.txt.gz"}
VOCAB, JSON, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
DIGEST = "digest.txt"  # SHA-256 of a vocabulary that `write` wrote, by which changes are noticed
# Files of other tokenisers, which `transformers` can convert.
FOREIGN = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "vocab.json")
LARGEST = 200_000_000  # bytes; tokenizer.json of 250,000 tokens has 17 MB
EXPECTED = f"expected `english`, a folder with {VOCAB} or {JSON}, or one of these files"
CONVERT = "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"

Stamp = tuple[tuple[int, int], ...]  # time and size of each file


def read(location: str) -> Vocabulary:
    """Returns the vocabulary of a location. Files are read again only if they have changed.

    Args:
      location: `english`, or the path of a folder, of vocab.txt or of tokenizer.json. In a folder,
        tokenizer.json has precedence over vocab.txt.

    Raises:
      ValueError: there is no vocabulary, or a file of the vocabulary is damaged or contradictory.
    """
    if location in EMBEDDED:
        return _read(location, ())
    file = file_of(location)
    files = [file, *map(file.with_name, (CONFIG, DIGEST))]
    files = [path for path in files if path.is_file()]
    stamp = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    return _read(str(file), stamp)


@functools.lru_cache(maxsize=8)
def _read(location: str, stamp: Stamp) -> Vocabulary:
    """Returns the vocabulary `english` or that of a file.

    Args:
      stamp: not read; a file that has changed gets another entry in the cache.
    """
    if location in EMBEDDED:
        file = importlib.resources.files("tl_keras.embedded") / EMBEDDED[location]
        text = gzip.decompress(file.read_bytes()).decode()
        return _of_list(text, location, {})
    path = Path(location)
    config = _config(path.with_name(CONFIG))
    if path.suffix == ".json":
        vocabulary = tokenizer_json.vocabulary(_json(path), location, config)
    else:
        vocabulary = _of_list(_text(path), location, config)
    _check_digest(vocabulary, path)
    return vocabulary


def _check_digest(vocabulary: Vocabulary, file: Path) -> None:
    """Raises ValueError if a vocabulary is not the one that `write` wrote into the folder."""
    written = file.with_name(DIGEST)
    if written.is_file() and _text(written).strip() != _digest_of(vocabulary):
        raise ValueError(
            f"{FIELD}: {file} or {CONFIG} has changed since tl_keras wrote it, so its ids do not "
            f"fit the model of the run; restore both files, or remove {DIGEST} if the change is "
            "meant"
        )


def _digest_of(vocabulary: Vocabulary) -> str:
    # `order` says where the rows of weights lie, and has no effect on ids.
    return dataclasses.replace(vocabulary, order=()).digest


def file_of(location: str) -> Path:
    """Returns the file of a vocabulary that is not embedded.

    Raises:
      ValueError: there is no such file, or the folder has none that can be read.
    """
    path = Path(location).expanduser()
    if path.is_file():
        if path.suffix not in (".txt", ".json"):
            raise ValueError(f"{FIELD}: {EXPECTED}; received the file {location}")
        return path
    if not path.is_dir():
        raise ValueError(f"{FIELD}: there is no file or folder {location!r}; {EXPECTED}")
    for name in (JSON, VOCAB):
        if (path / name).is_file():
            return path / name
    foreign = [name for name in FOREIGN if (path / name).is_file()]
    if foreign:
        raise ValueError(
            f"{FIELD}: {location} has {foreign[0]} but not {JSON}; expected {VOCAB} or {JSON}; to "
            f"write {JSON}, run {CONVERT} where `transformers` is installed"
        )
    names = sorted(file.name for file in path.iterdir())
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    raise ValueError(
        f"{FIELD}: the folder {location} has no vocabulary; expected {VOCAB} or {JSON}, received "
        f"{listed or 'an empty folder'}"
    )


def _text(file: Path) -> str:
    if (size := file.stat().st_size) > LARGEST:
        raise ValueError(
            f"{FIELD}: {file} has {size:,} bytes; expected a vocabulary of at most {LARGEST:,}"
        )
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{FIELD}: {file}, line {line}: expected UTF-8, received the byte "
            f"0x{content[error.start]:02x}; save the file as UTF-8"
        ) from None


def _json(file: Path) -> Any:
    try:
        return json.loads(_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{FIELD}: {file}: expected JSON, received: {error}") from None


def _config(file: Path) -> dict[str, Any]:
    """Returns the content of tokenizer_config.json; {} if there is no such file."""
    config = _json(file) if file.is_file() else {}
    if not isinstance(config, dict):
        raise ValueError(f"{FIELD}: {file}: expected a JSON object, received {str(config)[:40]}")
    return config


def _of_list(text: str, file: str, config: dict[str, Any]) -> Vocabulary:
    """Returns the vocabulary of vocab.txt, which has a token on each line."""
    rows = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    lines: dict[str, int] = {}
    for number, token in enumerate(rows, start=1):
        if not token:
            raise ValueError(
                f"{FIELD}: {file}: line {number} is empty; expected one token on each line; use "
                f"the {VOCAB} that belongs to the weights"
            )
        if token in lines:
            raise ValueError(
                f"{FIELD}: {file}: line {number} repeats the token {token!r} of line "
                f"{lines[token]}; expected each token once; use the {VOCAB} that belongs to the "
                "weights"
            )
        lines[token] = number
    special = special_tokens.find({token: i for i, token in enumerate(rows)}, config)
    return wordpiece(rows, special, file, how_of(rows, config))


def write(vocabulary: Vocabulary, folder: Path) -> None:
    """Writes the files of a vocabulary, from which `read` returns an equal one.

    The folder has the tokens in the order of the weights, as Hugging Face's folders do.

    Raises:
      ValueError: `order` does not have each row from 0 to the number of tokens once, because tokens
        were removed. The caller must first set `order` to the rows of the new weights.
    """
    if sorted(vocabulary.order) != list(range(vocabulary.num_tokens)):
        raise ValueError(
            f"{FIELD}: the vocabulary has {vocabulary.num_tokens:,} tokens, but rows up to "
            f"{max(vocabulary.order):,}; expected one row for each token"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DIGEST).unlink(missing_ok=True)  # While the files are replaced, none fits.
    ids = {
        "padding": 0,
        **{name: getattr(vocabulary, name) for name in ("start", "end", "unknown", "mask")},
    }
    config: dict[str, Any] = special_tokens.to_config(vocabulary.tokens, ids)
    if vocabulary.kind == "tokenizers":
        write_text(folder / JSON, vocabulary.definition)
    else:
        rows = sorted(zip(vocabulary.order, vocabulary.tokens, strict=True))
        write_text(folder / VOCAB, "".join(f"{token}\n" for _, token in rows))
        config["do_lower_case"] = vocabulary.lowercase
        config["strip_accents"] = vocabulary.strip_accents
        config["tokenize_chinese_chars"] = vocabulary.split_chinese
    write_text(folder / DIGEST, f"{_digest_of(vocabulary)}\n")
    write_json(folder / CONFIG, config)
