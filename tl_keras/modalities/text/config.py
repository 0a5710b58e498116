"""The config section `text` (preparation and augmentation), and constants of this modality."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from tl_keras.config.section import Auto, Section, Share, Text
from tl_keras.maybe import Maybe

SOURCES = ("intents",)  # Values of data.source that are inside the package.
PREPARATION = ("length", "vocabulary")
SEARCHED = ("length", "augment", "augment_strength")
OF_THE_VIEWS = ("augment", "augment_strength")
DEFAULTS = {"model": {"backbone": "MiniLM-L6"}, "fit": {"batch_size": 16}}
SUFFIXES = (".txt", ".text")
COLUMN = "text"  # Column of a table whose cells are examples.
INPUT = "token_ids"  # The model's input layer.
NOUNS = PLAIN_NOUNS = ("text", "texts")
FOLDER_WORDS = ("text", "texts", "txt", "document", "documents", "docs", "sentences")
OTHER_SUFFIXES = {  # Suffixes of files that often lie beside texts.
    *(".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html"),
    *(".pdf", ".doc", ".docx", ".xls", ".xlsx", ".log", ".py", ".ipynb", ".sh", ".npy", ".npz"),
    *(".zip", ".tar", ".gz", ".tgz", ".7z", ".jpg", ".jpeg", ".png", ".gif", ".h5", ".keras"),
}
SCALE = "token ids of text.vocabulary"
SMALLER = "a smaller text.length"
SHORTEST = 8  # tokens; room for the start, the end and a few words


class Masking(Section):
    """Replaces random tokens of a training text."""

    share: Annotated[float, Field(gt=0, lt=1)]
    span: Annotated[int, Field(ge=1, le=64)] = 1


class TextConfig(Section):
    """How texts are prepared, without randomness, and how they are augmented for training."""

    modality: ClassVar[str] = "text"

    length: Annotated[int, Field(ge=SHORTEST, le=8192)] | Auto = Field(
        "auto",
        description="Largest number of tokens of a text, with the tokens for its start and its "
        "end. The rest of a longer text is cut off. auto: as many as the backbone takes.",
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
    max_bytes: Annotated[int, Field(ge=1)] = Field(
        1_000_000,
        description="Largest size of a text. Larger texts are left out.",
        json_schema_extra={"unit": "bytes"},
    )
    mask: Share = Field(
        0.0,
        description="Share of the tokens of each training text that are replaced by the mask "
        "token, anew in each epoch. 0: none.",
    )

    @property
    def augmentations(self) -> tuple[Masking, ...]:
        """The random operations on training texts."""
        return (Masking(share=self.mask),) if self.mask else ()

    @property
    def shape(self) -> tuple[None, ...]:
        """Shape of a prepared text: any number of token ids."""
        return (None,)

    @property
    def dtype(self) -> str:
        """Type of a prepared text."""
        return "int32"


SECTION = TextConfig


def check(config: Any) -> None:
    """Checks the section `text` of a `RunConfig` against its other sections.

    Raises:
      ValueError: a field of `text` and a field of another section exclude each other.
    """


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


def extent(settings: TextConfig) -> str:
    """Returns the field that sets the size of an example, with its value: `text.length 64`."""
    return f"text.length {settings.length}"


def described(settings: TextConfig) -> str:
    """Returns how texts are prepared, in a few words, as in `up to 64 tokens`."""
    return f"up to {settings.length} tokens"
