"""The config section `text` (preparation and augmentation), and constants of this modality."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, field_validator, model_serializer, model_validator

from tl_keras.config.section import Auto, Section, Text
from tl_keras.maybe import Maybe

SOURCES = ("intents",)  # Values of data.source that are inside the package.
PREPARATION = ("length", "vocabulary")
OBJECTIVES = ("masked_language",)
SEARCHED = ("length", "augment", "augment_strength")
OF_THE_VIEWS = ("augment", "augment_strength")
DEFAULTS = {
    "model": {"backbone": "MiniLM-L6"},
    "fit": {"batch_size": 16},
    # Not int8, which for transformers is as large as `dynamic`, slower and less accurate.
    "search": {"format": "dynamic"},
    "export": {"formats": ("saved_model", "float32", "float16", "dynamic")},
}
SUFFIXES = (".txt", ".text")
COLUMN = "text"  # Column of a table whose cells are examples.
KEPT = "vocabulary"  # Folder in a run's folder with the vocabulary of its model.
INPUT = "token_ids"  # The model's input layer.
NOUNS = PLAIN_NOUNS = ("text", "texts")
FOLDER_WORDS = ("text", "texts", "txt", "document", "documents", "docs", "sentences")
OTHER_SUFFIXES = {  # Suffixes of files that often lie beside texts.
    *(".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html"),
    *(".pdf", ".doc", ".docx", ".xls", ".xlsx", ".log", ".py", ".ipynb", ".sh", ".npy", ".npz"),
    *(".zip", ".tar", ".gz", ".tgz", ".7z", ".jpg", ".jpeg", ".png", ".gif", ".h5", ".keras"),
}
MEDIAPIPE = ("[CLS]", "[SEP]", "[UNK]")  # Tokens that MediaPipe looks up by name.
SCALE = "token ids of text.vocabulary"
SMALLER = "a smaller text.length"
SHORTEST = 8  # tokens; room for the start, the end and a few words


def _names_one(schema: dict[str, Any]) -> None:
    """Changes the JSON schema of `TextAugmentation`: exactly one field must be given, not null."""
    schema.update(minProperties=1, maxProperties=1)
    for field in schema["properties"].values():
        field.update(field.pop("anyOf")[0])
        del field["default"]


class TextAugmentation(Section):
    """One random operation on training texts, as in `{delete: 0.1}`.

    Each entry of `text.augment` names exactly one operation. The operations follow one another.
    None of them changes the tokens for start and end, or removes all tokens of a text.
    """

    model_config = ConfigDict(json_schema_extra=_names_one)

    mask: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Probability that a token is replaced by the mask token of the vocabulary.",
    )
    delete: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Probability that a token is deleted."
    )
    span: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Deletes one span of neighbouring tokens, of random length: at most this share "
        "of the tokens of the text.",
    )

    @model_validator(mode="after")
    def _check_one(self) -> "TextAugmentation":
        if len(names := self._names()) != 1:
            raise ValueError(
                "expected one operation and its strength, as in {delete: 0.1}; "
                f"received {' and '.join(names) or 'none'}"
            )
        return self

    @property
    def name(self) -> str:
        """The operation that this entry names."""
        return self._names()[0]

    def times(self, strength: float) -> "TextAugmentation":
        """Returns the operation with its strength multiplied by `strength`, up to 0.99."""
        if strength == 1:
            return self
        return TextAugmentation(**{self.name: min(0.99, getattr(self, self.name) * strength)})

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names()}

    def _names(self) -> list[str]:
        return [name for name, value in self if value is not None]


class Operation(Section):
    """An operation of `text.augment` with the token ids that it needs, for `augment.augment`."""

    name: str
    share: float
    start: int | None  # id of the token before each text; None if there is none
    end: int | None  # id of the token after each text; None if there is none
    mask: int | None  # id that replaces a token; None if tokens are deleted


class TextConfig(Section):
    """How texts are prepared, without randomness, and how they are augmented for training."""

    modality: ClassVar[str] = "text"

    length: Annotated[int, Field(ge=SHORTEST, le=8192)] | Auto = Field(
        "auto",
        description="Largest number of tokens of a text, with the tokens for its start and its "
        "end. In training, the rest of a longer text is cut off; a prediction for it is the mean "
        "over windows of this length. auto: as many as the backbone takes.",
        json_schema_extra={"unit": "tokens"},
    )
    vocabulary: Maybe[Text] = Field(
        None,
        description="The vocabulary of the tokeniser: a file vocab.txt or tokenizer.json, or a "
        "folder that contains one. english: the uncased English vocabulary of BERT, which ships "
        "with tl_keras. null: the vocabulary that the backbone was trained with.",
        json_schema_extra={
            "expected": "'english', a file vocab.txt or tokenizer.json, or a folder with one"
        },
    )
    tokens: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Size of the vocabulary of the students of the command parallel, if "
        "parallel.student is set. They keep the most frequent tokens of the training texts and all "
        "single characters, and their files become smaller. null: the whole vocabulary.",
        json_schema_extra={"unit": "tokens"},
    )
    max_bytes: Annotated[int, Field(ge=1)] = Field(
        1_000_000,
        description="Largest size of a text. Larger texts are left out.",
        json_schema_extra={"unit": "bytes"},
    )
    augment: tuple[TextAugmentation, ...] = Field(
        (),
        description="Random operations on training texts, each entry with one operation, as in "
        "[{mask: 0.1}, {span: 0.2}]. []: none.",
    )
    augment_strength: Annotated[float, Field(ge=0, le=2)] = Field(
        1.0,
        description="Factor by which the strength of every operation in text.augment is "
        "multiplied. 0: no augmentation.",
    )

    @property
    def augmentations(self) -> tuple[Operation, ...]:
        """The operations of `augment` with their strengths multiplied by `augment_strength`.

        Raises:
          ValueError: the vocabulary cannot be read, or has no token for the operation `mask`.
        """
        if self.augment_strength == 0 or not self.augment:
            return ()
        # Imported here because most configs do not augment texts.
        from tl_keras.modalities.text import tokens

        words = tokens.of(self.vocabulary)
        # Vocabularies of other models than BERT's may have no mask token.
        replacement = words.unknown if words.mask is None else words.mask
        operations = []
        for entry in (entry.times(self.augment_strength) for entry in self.augment):
            if entry.name == "mask" and not replacement:
                raise ValueError(
                    f"text.augment: the vocabulary {self.vocabulary!r} has no token that could "
                    "replace others; expected delete or span, received mask"
                )
            share = getattr(entry, entry.name)
            mask = replacement if entry.name == "mask" else None
            operations.append(
                Operation(name=entry.name, share=share, start=words.start, end=words.end, mask=mask)
            )
        return tuple(operations)

    @property
    def longest(self) -> int | None:
        """The largest number of tokens; None for no limit."""
        return None if self.length == "auto" else self.length

    @property
    def shape(self) -> tuple[None, ...]:
        """Shape of a prepared text: any number of token ids."""
        return (None,)

    @property
    def dtype(self) -> str:
        """Type of a prepared text."""
        return "int32"

    @field_validator("augment", mode="before")
    @classmethod
    def _accept_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


SECTION = TextConfig


def refused(name: str, settings: TextConfig) -> str | None:
    """Returns why a format of `export.formats` cannot be made for texts; None if it can."""
    if name != "mediapipe":
        return None
    # Imported here because most configs do not name this format.
    from tl_keras.modalities.text import tokens

    try:
        words = tokens.of(settings.vocabulary)
    except ValueError:
        return None  # A missing vocabulary has a message of its own.
    if words.kind != "wordpiece":
        return "MediaPipe splits texts by WordPiece, but text.vocabulary is of another kind"
    if not words.lowercase:
        return "MediaPipe turns text into lower case, but text.vocabulary keeps capital letters"
    names = (words.start, words.end, words.unknown)
    received = [None if i is None else words.tokens[i] for i in names]
    if received != list(MEDIAPIPE):
        return (
            f"MediaPipe needs the tokens {', '.join(MEDIAPIPE)} for the start, the end and unknown "
            f"words; text.vocabulary has {', '.join(map(str, received))}"
        )
    return None


def check(config: Any) -> None:
    """Checks the section `text` of a `RunConfig` against its other sections.

    Raises:
      ValueError: a field of `text` and a field of another section exclude each other.
    """
    if config.evaluate.views > 1 and not config.text.augment:
        raise ValueError(
            "evaluate.views: all augmented views of a text would be the same, because text.augment "
            f"has no operation; expected 1, received {config.evaluate.views}"
        )
    if config.text.tokens is not None and config.parallel.student is None:
        raise ValueError(
            "text.tokens: only students of another backbone have a smaller vocabulary, but "
            f"parallel.student is null; expected null, received {config.text.tokens}"
        )


def for_students(settings: TextConfig, folder: Path) -> TextConfig:
    """Returns the settings of students, whose smaller vocabulary lies in the folder of the run.

    Args:
      settings: the settings with the vocabulary of the students' backbone.
      folder: the folder of the run of `parallel`.
    """
    if settings.tokens is None:
        return settings
    return settings.model_copy(update={"vocabulary": str(folder / KEPT)})


def check_input(file: str, shape: Any, settings: TextConfig) -> None:
    """Checks that the model file of a user accepts token ids.

    Raises:
      ValueError: the model does not take `(batch, length)`.
    """
    if not isinstance(shape, list | tuple) or len(shape) != 2:
        raise ValueError(
            f"model.backbone: {file!r} takes inputs of shape {shape}; expected (batch, length) "
            "token ids"
        )


def kept(settings: TextConfig, folder: Path) -> TextConfig:
    """Returns the settings with the vocabulary that a run keeps in its folder, if it has one."""
    vocabulary = folder / KEPT
    if not vocabulary.is_dir():
        return settings
    return settings.model_copy(update={"vocabulary": str(vocabulary)})


def extent(settings: TextConfig) -> str:
    """Returns the field that sets the size of an example, with its value: `text.length 64`."""
    return f"text.length {settings.length}"


def described(settings: TextConfig) -> str:
    """Returns how texts are prepared, in a few words, as in `up to 64 tokens`."""
    if settings.longest is None:
        return "any number of tokens"
    return f"up to {settings.longest} tokens"
