"""`pretrain`: what the command `pretrain` trains the backbone to do."""

from typing import Annotated, Literal

from pydantic import Field

from tl_keras.config.section import Section
from tl_keras.modalities import MODALITIES, part

LABELS = "labels"
# The objectives that need no labels, of all modalities.
WITHOUT_LABELS = tuple(
    dict.fromkeys(name for kind in MODALITIES for name in part(kind, "config").OBJECTIVES)
)
SMALLEST = 100  # tokens


class PretrainConfig(Section):
    """What the command `pretrain` trains the backbone to do."""

    objective: Literal[(LABELS, *WITHOUT_LABELS)] = Field(  # type: ignore[valid-type]  # From a table.
        LABELS,
        description="labels: to answer with the labels of the data. masked_language: to guess "
        "hidden tokens of texts, as BERT does, which needs no labels. The texts are the files of a "
        "folder of any layout, the cells of a table, or a set of TensorFlow Datasets; those of the "
        "split test are left out.",
        json_schema_extra={
            "expected": "'labels', or 'masked_language' (texts without labels; hidden tokens are "
            "guessed)"
        },
    )
    vocabulary: Annotated[int, Field(ge=SMALLEST, le=200_000)] = Field(
        8000,
        description="For masked_language with model.weights 'none': the largest number of tokens "
        "of the WordPiece vocabulary that is learned from the training texts. Not used if "
        "text.vocabulary names a vocabulary.",
        json_schema_extra={"unit": "tokens"},
    )
    lowercase: bool = Field(
        True, description="Whether the learned vocabulary has words in lower case."
    )
    masked: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15,
        description="For masked_language: the share of the tokens that are guessed. 80% of them "
        "are replaced by the mask token and 10% by random tokens; the others stay.",
    )
