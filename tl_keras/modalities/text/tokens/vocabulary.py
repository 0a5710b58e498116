"""Vocabularies: the tokens of a tokeniser by id, and all else that decides the ids of a text.

`read` reads a vocabulary from its location, a string: `english`, a folder, or a file vocab.txt or
tokenizer.json. This module imports neither NumPy nor TensorFlow.
"""

import functools
import gzip
import hashlib
import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tl_keras.modalities.text.tokens import special_tokens
from tl_keras.run.files import write_json, write_text

FIELD = "text.vocabulary"
# Vocabularies inside the package: the file in tl_keras/embedded. embedded/README.md has its origin.
EMBEDDED = {"english": "english.txt.gz"}
VOCAB, JSON, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
# Files of other tokenisers, which `transformers` can convert.
FOREIGN = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "vocab.json")
LARGEST = 200_000_000  # bytes; tokenizer.json of 250,000 tokens has 17 MB
EXPECTED = f"expected `english`, a folder with {VOCAB} or {JSON}, or one of these files"
CONVERT = "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a tokeniser by id, and all else that decides the ids of a text.

    Attributes:
      kind: `wordpiece`, or `tokenizers`: a tokeniser that only the package `tokenizers` runs.
      tokens: the tokens by id. Padding is id 0; the weights of a backbone may place it elsewhere.
      order: for each id, the row of the embedding table of the weights.
      start, end: ids that the tokeniser puts before and after a text; None if it puts none.
      unknown: id of the token for what the vocabulary lacks; None if it lacks nothing.
      mask: id of the token that hides another one in masked pre-training; None if there is none.
      lowercase, strip_accents, split_chinese: how WordPiece normalises a text.
      definition: the content of tokenizer.json; empty if `kind` is `wordpiece`.
    """

    kind: Literal["wordpiece", "tokenizers"]
    tokens: tuple[str, ...]
    order: tuple[int, ...]
    start: int | None
    end: int | None
    unknown: int | None
    mask: int | None
    lowercase: bool = False
    strip_accents: bool = False
    split_chinese: bool = False
    definition: str = ""

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def num_tokens(self) -> int:
        """Number of tokens, which is the number of rows of the embedding table."""
        return len(self.tokens)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal digits, of everything that decides ids."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def ordered(
    kind: Literal["wordpiece", "tokenizers"],
    rows: list[str],
    special: dict[str, int | None],
    **how: Any,
) -> Vocabulary:
    """Returns the vocabulary of an embedding table's rows, with padding moved to id 0.

    The token that had id 0 takes the id that padding had.

    Args:
      rows: the token of each row of the embedding table.
      special: rows of the special tokens, by the names in `special_tokens.NAMES`.
      how: other attributes of the vocabulary.
    """
    padding = special["padding"]
    assert padding is not None
    order = list(range(len(rows)))
    order[0], order[padding] = padding, 0
    ids = {name: None if row is None else order[row] for name, row in special.items()}
    return Vocabulary(
        kind=kind,
        tokens=tuple(rows[row] for row in order),
        order=tuple(order),
        start=ids["start"],
        end=ids["end"],
        unknown=ids["unknown"],
        mask=ids["mask"],
        **how,
    )


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
    files = [path for path in (file, file.with_name(CONFIG)) if path.is_file()]
    stamp = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    return _read(str(file), stamp)


@functools.lru_cache(maxsize=8)
def _read(location: str, stamp: Stamp) -> Vocabulary:
    """Reads `english` or a file."""
    if location in EMBEDDED:
        file = importlib.resources.files("tl_keras.embedded") / EMBEDDED[location]
        text = gzip.decompress(file.read_bytes()).decode()
        return _of_list(text, location, {})
    from tl_keras.modalities.text.tokens import tokenizer_json

    path = Path(location)
    config = _config(path.with_name(CONFIG))
    if path.suffix == ".json":
        return tokenizer_json.vocabulary(_json(path), location, config)
    return _of_list(_text(path), location, config)


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


def how_of(rows: list[str], config: dict[str, Any]) -> dict[str, bool]:
    """Returns how WordPiece normalises a text, from tokenizer_config.json or from the tokens.

    Without `do_lower_case` in the config, a vocabulary is lower-cased if no token has a capital
    letter, apart from tokens in brackets such as `[CLS]`.
    """
    capitals = any(token != token.lower() for token in rows if not token.startswith("["))
    lowercase = config.get("do_lower_case")
    lowercase = not capitals if lowercase is None else bool(lowercase)
    strip_accents, split_chinese = (
        lowercase if (value := config.get(name)) is None and name == "strip_accents" else value
        for name in ("strip_accents", "tokenize_chinese_chars")
    )
    return {
        "lowercase": lowercase,
        "strip_accents": bool(strip_accents),
        "split_chinese": True if split_chinese is None else bool(split_chinese),
    }


def wordpiece(
    rows: list[str], special: dict[str, int | None], file: str, how: dict[str, bool]
) -> Vocabulary:
    """Returns a vocabulary of the kind `wordpiece`.

    Args:
      file: where the vocabulary comes from, for messages.
      how: the attributes `lowercase`, `strip_accents` and `split_chinese`.

    Raises:
      ValueError: the vocabulary has no token for unknown words, or none for padding.
    """
    for name, purpose in (("unknown", "unknown words"), ("padding", "padding")):
        if special[name] is None:
            raise ValueError(
                f"{FIELD}: {file}: no token stands for {purpose}; expected "
                f"{special_tokens.NAMES[name][0]} among the {len(rows):,} tokens; use the "
                "vocabulary that belongs to the weights"
            )
    return ordered("wordpiece", rows, special, **how)


def write(vocabulary: Vocabulary, folder: Path) -> None:
    """Writes the files of a vocabulary, from which `read` returns an equal one.

    The folder has the tokens in the order of the weights, as Hugging Face's folders do.

    Raises:
      ValueError: the rows of the weights are not those of the vocabulary, as after pruning. Then
        the caller must set `order` to the rows of the new weights first.
    """
    if sorted(vocabulary.order) != list(range(vocabulary.num_tokens)):
        raise ValueError(
            f"{FIELD}: the {vocabulary.num_tokens:,} tokens have rows up to "
            f"{max(vocabulary.order):,}; expected one row for each token"
        )
    folder.mkdir(parents=True, exist_ok=True)
    ids = {
        "padding": 0,
        **{name: getattr(vocabulary, name) for name in ("start", "end", "unknown", "mask")},
    }
    config: dict[str, Any] = special_tokens.written(vocabulary.tokens, ids)
    if vocabulary.kind == "tokenizers":
        write_text(folder / JSON, vocabulary.definition)
    else:
        rows = sorted(zip(vocabulary.order, vocabulary.tokens, strict=True))
        write_text(folder / VOCAB, "".join(f"{token}\n" for _, token in rows))
        config["do_lower_case"] = vocabulary.lowercase
        config["strip_accents"] = vocabulary.strip_accents
        config["tokenize_chinese_chars"] = vocabulary.split_chinese
    write_json(folder / CONFIG, config)
