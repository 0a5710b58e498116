"""RunConfig and its sections: what a run is, checked on load. Imports no Keras.

A field is defined once, in the section named after the module that reads it. Sections are
frozen and forbid unknown fields. Only what differs from the defaults needs to be written.
"""

import importlib.util
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tl_keras.backbones import applications, model_file
from tl_keras.backbones.applications import Preprocessing
from tl_keras.config import space
from tl_keras.config.messages import messages, nearest, neighbour, shown
from tl_keras.run.files import unwritable

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(ge=0, lt=1)]
Auto = Literal["auto"]
Text = Annotated[str, Field(min_length=1)]


def _absolute(path: str) -> str:
    path = os.path.abspath(os.path.expanduser(path))
    if reason := unwritable(path):
        raise ValueError(f"{path!r} cannot be used: {reason}")
    return path


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _number_as_text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


# Absolute, so that a saved config loads from any folder.
Location = Annotated[Text, BeforeValidator(_plain), AfterValidator(_absolute)]


def _class_name(value: Any) -> Any:
    if type(value) is int:  # In YAML a folder called 7 is a number.
        return str(value)
    if value is None or isinstance(value, bool | float):
        raise ValueError(
            f"expected a class name; received {shown(value)}, which is not text: write it in "
            'quotes, as in "1e3" or "null"'
        )
    return value


Name = Annotated[Text, BeforeValidator(_class_name)]
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
WEIGHTS = ("imagenet", "glyphs", "own", "none")  # Any other value is a path.
Format = Literal["saved_model", "float32", "float16", "dynamic", "int8", "int16x8", "onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)[:5]  # Unless a config asks for others.
WHOLE: tuple[Format, ...] = ("saved_model", "onnx")  # Those that are no LiteRT files.
Approach = Literal[  # The quick ones first; from scratch, which takes what time is left, last.
    *("head", "finetune", "search", "full", "chain", "cross_validate", "parallel", "scratch")
]
APPROACHES: tuple[Approach, ...] = get_args(Approach)


class Section(BaseModel):
    """A part of a config: frozen, strict about types, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RandAugment(Section):
    """Random operations drawn from a list (arXiv 1909.13719)."""

    layers: Annotated[int, Field(ge=1, le=6)] = 2  # operations an image
    magnitude: Share = 0.3  # 1 is the strongest of each operation


def _names_one(schema: dict[str, Any]) -> None:
    """The JSON schema of `Augmentation`: one field, and not null."""
    schema.update(minProperties=1, maxProperties=1)
    for field in schema["properties"].values():
        field.update(field.pop("anyOf")[0])
        del field["default"]


class Augmentation(Section):
    """One random operation on training images; an entry of the list names exactly one."""

    model_config = ConfigDict(json_schema_extra=_names_one)

    flip: Literal["horizontal", "vertical", "both"] | None = None
    rotation: Annotated[float, Field(gt=0, le=0.5)] | None = None  # turns, either way
    zoom: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of the size, in or out
    translation: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of the size
    contrast: Annotated[float, Field(gt=0, lt=1)] | None = None  # factor in 1 -+ this
    brightness: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of 255, either way
    color: Annotated[float, Field(gt=0, le=1)] | None = None  # saturation 1 -+ this; hue a tenth
    rand_augment: RandAugment | None = None
    erasing: Share | None = None  # chance that a rectangle is erased (arXiv 1708.04896)
    mixup: Annotated[float, Field(gt=0, le=2)] | None = None  # Beta's alpha (arXiv 1710.09412)
    cutmix: Annotated[float, Field(gt=0, le=2)] | None = None  # Beta's alpha (arXiv 1905.04899)

    @model_validator(mode="after")
    def names_one(self) -> "Augmentation":
        if len(names := self._names()) != 1:
            raise ValueError(
                "expected one operation and its strength, as in {flip: both}; "
                f"received {' and '.join(names) or 'none'}"
            )
        return self

    @property
    def name(self) -> str:
        """The operation that this entry names."""
        return self._names()[0]

    def times(self, strength: float) -> "Augmentation":
        """The operation at another strength, at most the strongest; a flip has only one."""
        value = getattr(self, self.name)
        if self.name == "flip" or strength == 1:
            return self
        if self.name == "rand_augment":
            scaled = min(1.0, value.magnitude * strength)
            return Augmentation(rand_augment=RandAugment(layers=value.layers, magnitude=scaled))
        return Augmentation(**{self.name: min(STRONGEST.get(self.name, 0.99), value * strength)})

    @model_serializer
    def as_written(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names()}

    def _names(self) -> list[str]:
        return [name for name, value in self if value is not None]


# Of the operations that `times` scales; .99 of those that must stay below 1.
STRONGEST = {"rotation": 0.5, "color": 1.0, "erasing": 1.0, "mixup": 2.0, "cutmix": 2.0}
MIXING = {"mixup", "cutmix"}  # Of two images: nothing of them is left in a view of one.


class DataConfig(Section):
    """Which examples, in which splits, prepared and augmented how."""

    source: Literal["folder", "csv", "tfds", "digits", "glyphs"] = "folder"
    path: Location | None = Field(
        None, description="a folder of class folders, a CSV file, or a TFDS data folder, by source"
    )
    literal_labels: bool = False  # csv: whether labels such as "a, b" or "0.5" are class names
    name: Text | None = None  # TFDS builder, as in "beans" or "cifar10:3.0.2"
    stream: bool = False  # of tfds, for pretrain: training images stay in their shards
    image_size: Annotated[int, Field(ge=16, le=1024)] = 160  # px, height = width
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    antialias: bool = False  # devices' image classifiers do not
    val: Annotated[float, Field(gt=0, lt=0.9)] = 0.15  # share carved from train where none is given
    test: OpenShare = 0.15  # the same
    split_seed: Annotated[int, Field(ge=0, lt=2**30)] = (
        0  # apart from `seed`: other seeds share the splits
    )
    examples_per_class: Annotated[int, Field(ge=2)] | None = None  # at most, train and val together
    unlabelled: Annotated[Text, BeforeValidator(_plain)] | None = Field(
        None,
        description="for parallel: a folder of images without labels, of any layout, or 'rest': "
        "what examples_per_class leaves out",
    )
    num_examples: Annotated[int, Field(ge=200)] = 40_000  # glyphs alone: training images an epoch
    max_pixels: Annotated[int, Field(ge=1)] = 64_000_000  # found before decoding
    max_bad_share: Share = 0.1  # of the files
    augment: tuple[Augmentation, ...] = (
        Augmentation(flip="horizontal"),
        Augmentation(rotation=0.05),
        Augmentation(zoom=0.1),
        Augmentation(contrast=0.1),
    )
    augment_strength: Annotated[float, Field(ge=0, le=2)] = 1.0  # times what augment says
    balance: Literal["none", "weights", "oversample"] = "none"

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """`augment`, as strong as `augment_strength` has it, within each operation's bounds."""
        if self.augment_strength == 0:
            return ()
        return tuple(entry.times(self.augment_strength) for entry in self.augment)

    @field_validator("unlabelled")
    @classmethod
    def is_absolute_if_folder(cls, value: str | None) -> str | None:
        return value if value in (None, "rest") else _absolute(value)

    @field_validator("augment", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def names_its_source(self) -> "DataConfig":
        if self.source in ("folder", "csv") and self.path is None:
            what = "a folder of class folders" if self.source == "folder" else "a CSV file"
            raise ValueError(f"data.path: expected {what}; received none")
        if self.source == "tfds" and self.name is None:
            raise ValueError("data.name: expected a TFDS builder, as in 'beans'; received none")
        if self.stream and self.source != "tfds":
            raise ValueError(
                f"data.stream: shards are those of tfds; expected false, since data.source is "
                f"{self.source}"
            )
        if self.stream and self.balance == "oversample":
            raise ValueError(
                "data.balance: shards are read in their order, in which no example comes twice; "
                "with data.stream expected none or weights, received 'oversample'"
            )
        if self.source == "glyphs":
            self._check_glyphs()
        if self.val + self.test >= 1:
            raise ValueError(
                f"data.test: expected val + test < 1, so that some train; received {self.val} + "
                f"{self.test}"
            )
        return self

    def _check_glyphs(self) -> None:
        if self.augment:
            raise ValueError(
                "data.augment: expected [], since glyphs are distorted as they are drawn; received "
                f"{len(self.augment)} operations"
            )
        if self.unlabelled is not None:
            raise ValueError(
                "data.unlabelled: glyphs are drawn with their labels; expected none, received "
                f"{self.unlabelled!r}"
            )
        if self.balance != "none" or self.examples_per_class is not None:
            name = "balance" if self.balance != "none" else "examples_per_class"
            raise ValueError(
                f"data.{name}: glyphs are drawn from all classes alike; expected no value, "
                f"received {getattr(self, name)!r}; data.num_examples says how many"
            )


class ModelConfig(Section):
    """The backbone, where its weights come from, and the head."""

    backbone: Annotated[Text, BeforeValidator(_plain)] = Field(
        "MobileNetV2", description="a Keras Applications model, or a .keras file of one's own"
    )
    options: dict[str, bool | int | float] = {}  # the constructor's own, as in {alpha: 0.35}
    preprocessing: Preprocessing | None = Field(
        None,
        description="'tf', 'torch', 'caffe' or 'included': what a .keras backbone was trained on "
        "(null: pixels in 0..255); null for a Keras Applications model",
    )
    weights: Annotated[Text, BeforeValidator(_plain)] = Field(
        "imagenet",
        description="imagenet, glyphs, none, own (those in a .keras backbone), a weights file, or "
        "an earlier run's folder",
    )
    dropout: OpenShare = 0.2
    head_width: Annotated[int, Field(ge=1, le=4096)] | None = None  # of a hidden layer; null: none

    @model_validator(mode="before")
    @classmethod
    def brings_its_weights(cls, value: Any) -> Any:
        """The default of `weights` where the backbone is a file."""
        if isinstance(value, dict) and model_file.is_file(value.get("backbone")):
            return {"weights": "own", **value}
        return value

    @field_validator("backbone")
    @classmethod
    def is_absolute_if_file(cls, value: str) -> str:
        return _absolute(value) if model_file.is_file(value) else value

    @field_validator("weights")
    @classmethod
    def is_absolute(cls, value: str) -> str:
        return value if value in WEIGHTS else _absolute(value)

    @model_validator(mode="after")
    def fits_its_kind(self) -> "ModelConfig":
        if model_file.is_file(self.backbone):
            self._check_file()
        elif self.weights == "own":
            raise ValueError(
                f"model.weights: own are those in a .keras backbone; {self.backbone} comes without"
            )
        elif self.preprocessing is not None:
            raise ValueError(
                f"model.preprocessing: {self.backbone} brings its own; expected null, received "
                f"{self.preprocessing!r}"
            )
        return self

    def _check_file(self) -> None:
        if self.options:
            raise ValueError(
                f"model.options.{min(self.options)}: a .keras backbone is built already; expected "
                "no options"
            )
        if self.weights in ("imagenet", "glyphs"):
            raise ValueError(
                f"model.weights: {self.weights} are not for a .keras backbone; expected own "
                "(those in the file), none, a weights file, or an earlier run's folder"
            )

    @property
    def origin(self) -> str:
        """Where the weights come from: a word, or a path."""
        return self.backbone if self.weights == "own" else self.weights


class FitConfig(Section):
    """How the head and the layers above the freeze depth are trained."""

    epochs: Annotated[int, Field(ge=0)] | Auto = "auto"  # of the suffix; 0: the head alone
    batch_size: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0)] | Auto = "auto"  # the peak
    freeze: Share | Text = Field(
        "auto", description="a share of the blocks from 0 to 1, 'auto', or a layer's name"
    )
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4  # adamw alone
    warmup: OpenShare = 0.1  # share of the steps
    keep: Literal["average", "best"] | Auto = Field(
        "auto",
        description="'average' of the weights over the last half of the epochs, 'best' epoch by "
        "validation loss, or 'auto'",
    )
    patience: Annotated[int, Field(ge=1)] | Auto = "auto"  # epochs without a better one, for best
    label_smoothing: OpenShare = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0  # of all gradients together
    ema: OpenShare = 0.0  # momentum of the weights' moving average; 0: none
    views: Annotated[int, Field(ge=1)] | None = None  # augmented views an image; null: one an epoch
    minutes: Annotated[float, Field(gt=0)] | None = None  # of epochs, after which no other begins
    mixed_precision: bool = False
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 5.0  # of a long epoch; at its end always
    choose_by: Literal["log_loss", "accuracy"] = "log_loss"  # on validation, among the candidates


MOST_DECADES = 100  # between the ends of a range


class Range(Section):
    """Values between two ends, both among them."""

    min: float | int
    max: float | int
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def rises(self) -> "Range":
        if self.min >= self.max:
            raise ValueError(f"expected min below max; received {self.min} and {self.max}")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"expected min above 0 where scale is log; received {self.min}")
        span = math.log(self.max) - math.log(self.min) if self.scale == "log" else 0.0
        if span > MOST_DECADES * math.log(10) or not math.isfinite(self.max - self.min):
            raise ValueError(
                f"expected ends that are at most {MOST_DECADES} powers of ten apart; received "
                f"{self.min} and {self.max}"
            )
        return self


BLOCKS = "blocks"  # Of fit.freeze: every block boundary.
Values = tuple[Any, ...] | Range | Literal["blocks"]
DEFAULT_SPACE: dict[str, Any] = {
    "fit.freeze": [0.0, 0.25, 0.5, 0.75, 1.0],
    "fit.learning_rate": {"min": 3e-5, "max": 3e-3, "scale": "log"},
}
TRIALS = 12  # Of the command `search` where the config has no budget.
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error")
FALLING = ("log_loss", "calibration_error")  # The less, the better.
LIMITS = ("bytes", "latency_ms")


class SearchConfig(Section):
    """Which trials stand on validation, how many, and what the best of them is."""

    trials: Annotated[int, Field(ge=0, le=10_000)] = 0  # 0 without minutes: no search
    minutes: Annotated[float, Field(gt=0)] | None = None  # of all sessions; null: no such limit
    tuner: Literal["bayesian", "random", "hyperband"] = "bayesian"
    objective: Text = Field(
        "log_loss",  # Of a hundred images accuracy tells a few steps apart, and ends at 1.
        description="a metric of validation, as in 'accuracy' or 'log_loss', and maybe limits of "
        "the exported file, as in 'accuracy subject to bytes <= 3e6 and latency_ms <= 5'",
    )
    format: Literal["float32", "float16", "dynamic", "int8"] = "int8"  # the file of those limits
    keep: Annotated[int, Field(ge=1)] = 1  # best trials whose model.keras stays
    space: dict[str, Values] = Field(
        default_factory=lambda: dict(DEFAULT_SPACE),
        validate_default=True,
        description="fields, as in fit.freeze, and for each a list of values, {min, max, scale}, "
        "or for fit.freeze 'blocks'",
    )

    @field_validator("space", mode="before")
    @classmethod
    def accepts_lists(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: _values(name, entry) for name, entry in _flat(value).items()}

    @field_validator("tuner", mode="before")
    @classmethod
    def can_be_resumed(cls, value: Any) -> Any:
        if value == "grid":
            raise ValueError(
                "search.tuner: a grid could not be resumed "
                "(https://github.com/keras-team/keras-tuner/issues/1055); expected 'bayesian', "
                "'random' or 'hyperband'"
            )
        return value

    @model_validator(mode="after")
    def names_an_objective(self) -> "SearchConfig":
        self.goal  # noqa: B018
        return self

    @property
    def wanted(self) -> bool:
        """Whether there is to be a search."""
        return self.trials > 0 or self.minutes is not None

    @property
    def goal(self) -> "Goal":
        """What `objective` says."""
        metric, subject, limits = self.objective.partition(" subject to ")
        found = {}
        for part in limits.split(" and ") if subject else ():
            name, less, number = part.partition("<=")
            if not less or name.strip() not in LIMITS or not _is_positive(number):
                raise ValueError(
                    "search.objective: expected limits as in 'accuracy subject to bytes <= 3e6 and "
                    f"latency_ms <= 5'; received {part.strip()!r}"
                )
            found[name.strip()] = float(number)
        if metric.strip() not in METRICS:
            near = nearest(metric.strip(), METRICS)
            raise ValueError(
                f"search.objective: expected one of {', '.join(METRICS)}; received "
                f"{metric.strip()!r}{near}"
            )
        return Goal(metric.strip(), found)


def _flat(space: dict[str, Any]) -> dict[str, Any]:
    """`{fit: {freeze: [0.5]}}`, which `--set search.space.fit.freeze=[0.5]` makes, as
    `{fit.freeze: [0.5]}`; it wins over what is written so."""
    nested = {
        name: entry
        for name, entry in space.items()
        if isinstance(entry, dict) and entry and not entry.keys() & Range.model_fields.keys()
    }
    found = {name: entry for name, entry in space.items() if name not in nested}
    for name, entry in nested.items():
        found |= _flat({f"{name}.{field}": value for field, value in entry.items()})
    return found


def _values(name: str, value: Any) -> Any:
    """An entry of `search.space`."""
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(value, dict):
        try:
            return Range.model_validate(value)
        except ValidationError as error:
            first = messages(error, Range)[0].removeprefix(": ")
            raise ValueError(f"search.space.{name}: {first}") from None
    if value == BLOCKS or isinstance(value, Range):
        return value
    raise ValueError(
        f"search.space.{name}: expected a list of values, {{min: ..., max: ..., scale: log}}, or "
        f"for fit.freeze 'blocks'; received {shown(value)}"
    )


@dataclass(frozen=True)
class Goal:
    """What a search is after: the best of a metric, among files within limits."""

    metric: str
    limits: dict[str, float]  # of `bytes` and `latency_ms`

    @property
    def rises(self) -> bool:
        """Whether more of the metric is better."""
        return self.metric not in FALLING


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


class CrossValidateConfig(Section):
    """How examples are dealt out to folds, and what becomes of the folds."""

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 1  # each deals the examples out anew
    final: Literal["refit", "average", "ensemble"] = Field(
        "refit",
        description="'refit' on all examples as the folds chose, 'average' of the folds' weights, "
        "or their 'ensemble', which is as large and slow as all of them",
    )


class ParallelConfig(Section):
    """How a teacher's labels are cut into segments, and what becomes of their students."""

    segments: Annotated[int, Field(ge=1, le=1000)] = 2
    rounds: Annotated[int, Field(ge=1, le=100)] = 1  # the merged model teaches the next one
    workers: Annotated[int, Field(ge=0)] | Auto = "auto"  # students at a time; 0: run elsewhere
    retries: Annotated[int, Field(ge=0)] = 1  # of a student that failed
    confident: Annotated[float, Field(gt=0, le=1)] = 0.8  # share of a class's labels that is kept
    labels: Literal["teacher", "own"] = "teacher"  # own: of class folders in data.unlabelled
    merge: Literal["average", "ensemble", "best"] | Auto = Field(
        "auto",
        description="'average' of the students' weights, their 'ensemble', the 'best' of them, or "
        "'auto': what validation prefers",
    )


class CompareConfig(Section):
    """Which approaches stand side by side, and how long they may take together."""

    minutes: Annotated[float, Field(gt=0)] | None = None  # null: no limit
    approaches: Annotated[tuple[Approach, ...], Field(min_length=1)] | Auto = (
        "auto"  # all that the config allows
    )
    backbones: tuple[dict[str, Any], ...] = Field(
        (),
        description="others than model's, as in [{backbone: MobileNet, weights: a.h5}]",
    )
    chain: Location | None = Field(
        None, description="an earlier run, whose weights the approach chain starts from"
    )
    learning_curve: bool = True  # of heads on parts of the training examples

    @field_validator("approaches", "backbones", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("approaches", mode="before")
    @classmethod
    def knows_them(cls, value: Any) -> Any:
        for name in value if isinstance(value, list | tuple) else ():
            if name not in APPROACHES:
                raise ValueError(
                    f"compare.approaches: expected some of {', '.join(APPROACHES)}; received "
                    f"{name!r}{nearest(name, APPROACHES)}"
                )
        return value

    @model_validator(mode="after")
    def has_what_it_asks_for(self) -> "CompareConfig":
        if "chain" in self.approaches and self.chain is None:
            raise ValueError("compare.chain: expected an earlier run; received none")
        return self


class EvaluateConfig(Section):
    """How the finished model is measured, beside the plain way."""

    views: Annotated[int, Field(ge=1, le=64)] = 1  # over 1: also the mean of augmented views
    classes: dict[Name, Name] = Field(
        {},
        description="for the command evaluate on another set: classes of the model or of the set, "
        "and what each counts as, as in {tabby: cat, tiger_cat: cat}",
    )


class ExportConfig(Section):
    """Which files a finished run leaves, and how much they may differ from model.keras."""

    formats: tuple[Format, ...] = FORMATS
    calibration_examples: Annotated[int, Field(ge=1)] = 100  # from train, for quantised files
    batch: Literal[1, "dynamic"] = 1  # of LiteRT files; saved_model and onnx take any
    allow_flex: bool = False  # whether LiteRT files may need TensorFlow's own operators
    max_difference: Annotated[float, Field(gt=0)] = 1e-3  # of probability: saved_model, float32
    max_accuracy_drop: Share = 0.01  # the other formats, on validation
    max_bytes: Annotated[float, Field(gt=0)] | None = None  # of model.tflite
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None  # the same: median, one thread
    abstain: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="above 0 and below 1, as in 0.95: share of images for which the right class is "
        "to be among those that the model cannot rule out; adds an output that says where these "
        "are not one",
    )
    title: Text | None = None  # in the files' metadata; null: of the backbone and the classes
    author: Text | None = None  # the same
    license: Text | None = None  # the same
    version: Annotated[Text, BeforeValidator(_number_as_text)] = "1"  # the same

    @field_validator("formats", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class CacheConfig(Section):
    """Where decoded images and activations are kept; never part of a fingerprint."""

    path: Location | None = None  # null: the user's cache folder
    max_bytes: Annotated[float, Field(ge=0)] = 20e9


class RunConfig(Section):
    """Everything that decides what a run computes."""

    # Checked even where it is not written: most sources need a path.
    data: DataConfig = Field(default_factory=dict, validate_default=True)
    model: ModelConfig = ModelConfig()
    fit: FitConfig = FitConfig()
    search: SearchConfig = Field(default_factory=SearchConfig)
    cross_validate: CrossValidateConfig = CrossValidateConfig()
    parallel: ParallelConfig = ParallelConfig()
    compare: CompareConfig = CompareConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    cache: CacheConfig = CacheConfig()
    seed: Annotated[int, Field(ge=0, lt=2**30)] = 0

    @model_validator(mode="after")
    def can_be_built(self) -> "RunConfig":
        model = self.model
        if not model_file.is_file(model.backbone):
            applications.check(model.backbone, model.options, self.data.image_size, model.weights)
        if self.evaluate.views > 1 and {entry.name for entry in self.data.augmentations} <= MIXING:
            raise ValueError(
                "evaluate.views: views differ by data.augment, which changes no single image; "
                f"expected 1, received {self.evaluate.views}"
            )
        if model.weights == "none" and self.fit.keep == "average":
            raise ValueError(
                "fit.keep: average would leave batch norm, which trains where model.weights is "
                "none, with statistics of other weights; expected auto or best"
            )
        if model.weights == "none" and self.fit.freeze not in ("auto", 0):
            raise ValueError(
                f"fit.freeze: {self.fit.freeze!r} would freeze random weights, since "
                "model.weights is none; expected auto or 0"
            )
        if model.weights == "none" and self.fit.epochs == 0:
            raise ValueError(
                "fit.epochs: 0 trains the head alone, on random features where model.weights is "
                "none; expected auto or at least 1"
            )
        if self.search.wanted:
            space.check(self)
        return self


# What only adds to a run: a workdir accepts other values of these sections and fields.
ADDING = (
    *("export", "cache", "search.trials", "search.minutes", "search.keep"),
    *("fit.checkpoint_minutes", "evaluate.classes"),
    *("parallel.workers", "parallel.retries"),
)


def load(file: str | Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """A checked config from a YAML file and `section.field=value` overrides, in that order.

    Raises:
      ValueError: the file cannot be read, or a field is unknown or has a bad value; the message
        names every such field, the rule, what was received and the nearest valid choice.
    """
    tree = _read(Path(file).expanduser()) if file else {}
    for override in overrides:
        _override(tree, override)
    return from_tree(tree)


def from_tree(tree: dict[str, Any]) -> RunConfig:
    """A checked config from nested dicts, as YAML gives them. Raises ValueError as `load` does."""
    try:
        return RunConfig.model_validate(_of_plain_values(tree))
    except ValidationError as error:
        raise ValueError("\n".join(messages(error, RunConfig))) from None


def from_any(config: Any) -> RunConfig:
    """A checked config from what people hand to the Python API: a RunConfig, nested dicts, or a
    YAML file.

    Raises:
      TypeError: it is something else.
      ValueError: as `load`.
    """
    if isinstance(config, RunConfig):
        return config
    if isinstance(config, Mapping):
        return from_tree(config)
    if isinstance(config, str | os.PathLike):
        return load(os.fspath(config))
    raise TypeError(
        "config: expected nested dicts, a YAML file's path, or a RunConfig; received "
        f"{type(config).__name__}"
    )


def _of_plain_values(value: Any) -> Any:
    """Nested values with NumPy's numbers and arrays as Python's own, which YAML can hold."""
    if isinstance(value, Mapping):
        return {_of_plain_values(key): _of_plain_values(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_of_plain_values(own) for own in value]
    # Asked by name, since NumPy takes a while to import.
    return _of_plain_values(value.tolist()) if type(value).__module__ == "numpy" else value


def with_trials(config: RunConfig) -> RunConfig:
    """A config that asks for a search, from one that does not. Raises ValueError as `load` does."""
    return from_tree({**to_tree(config), "search": {**to_tree(config)["search"], "trials": TRIALS}})


def check_paths(config: RunConfig) -> None:
    """Cheap checks of what a config points to, before anything slow.

    Raises:
      ValueError: `data.path`, or the file or folder of `model.weights` or `model.backbone`, does
        not exist or is of the wrong kind.
    """
    path = config.data.path
    if path is not None:
        if config.data.source == "csv" and os.path.isdir(path):
            raise ValueError(f"data.path: expected a CSV file; received the folder {path!r}")
        if config.data.source in ("folder", "tfds") and os.path.isfile(path):
            unpack = "; unpack it first" if path.lower().endswith(ARCHIVES) else ""
            raise ValueError(f"data.path: expected a folder; received the file {path!r}{unpack}")
        _check_exists(config.data, "data.path")
    if config.data.unlabelled not in (None, "rest"):
        _check_exists(config.data, "data.unlabelled")
    if config.compare.chain is not None:
        _check_exists(config.compare, "compare.chain")
    check_extras(config)
    for trial in space.first_trials(config):
        if trial.model.weights not in WEIGHTS:
            _check_exists(trial.model, "model.weights", WEIGHTS)
        if model_file.is_file(trial.model.backbone):
            _check_exists(trial.model, "model.backbone")
            model_file.check(trial.model.backbone, trial.data.image_size)


def check_extras(config: RunConfig) -> None:
    """Raises ValueError where a format needs packages that are not installed."""
    if "onnx" not in config.export.formats:
        return
    missing = [name for name in ("tf2onnx", "onnxruntime") if not importlib.util.find_spec(name)]
    if missing:
        raise ValueError(
            f"export.formats: onnx needs {' and '.join(missing)}, which the extra 'onnx' brings; "
            "expected them installed, as by: pip install '.[onnx]'"
        )


def _check_exists(section: Section, field: str, choices: Sequence[str] = ()) -> None:
    name = field.partition(".")[2]
    path = getattr(section, name)
    if not os.path.exists(path):
        near = nearest(os.path.basename(path), choices) or neighbour(path)
        rule = type(section).model_fields[name].description
        raise ValueError(f"{field}: expected {rule}; {path!r} does not exist{near}")


def to_yaml(config: RunConfig) -> str:
    """The whole resolved config as YAML 1.2 text that `load` reads back to an equal config."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # Sections in the order of a run.
    yaml.dump(to_tree(config), stream)
    return stream.getvalue()


def to_tree(config: RunConfig) -> dict[str, Any]:
    """The whole resolved config as nested dicts of plain values."""
    return config.model_dump(mode="json")


def difference(old: RunConfig, new: RunConfig) -> str | None:
    """The first field that differs, as `fit.epochs: 10 in the workdir, 20 now`; None if none does.

    Fields that only add to a run (`ADDING`) may differ.
    """
    return _difference("", to_tree(old), to_tree(new))


def _difference(name: str, before: Any, now: Any) -> str | None:
    if name in ADDING or before == now:
        return None
    # The whole, its sections, and the space, whose keys are fields.
    has_fields = "." not in name or name == "search.space"
    if not has_fields or not isinstance(before, dict) or not isinstance(now, dict):
        return f"{name}: {before!r} in the workdir, {now!r} now"
    fields = {key: f"{name}.{key}" if name else key for key in [*now, *before]}
    found = (_difference(field, before.get(key), now.get(key)) for key, field in fields.items())
    return next(filter(None, found), None)


def _read(file: Path) -> dict[str, Any]:
    where = f"config {str(file)!r}"
    if file.is_dir():
        raise ValueError(f"{where}: expected a YAML file; received a folder")
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{where} does not exist{neighbour(str(file))}") from None
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at position {error.start}"
        raise ValueError(f"{where}: expected UTF-8 text; received {byte}") from None
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from None
    return _parse(text, where, default={})


def _parse(text: str, where: str, default: Any) -> Any:
    """What YAML text says; a mapping where the default is one."""
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        # Of a duplicate key only the name: the values are not yet complete.
        problem = error.problem.split(" with value ")[0].removeprefix("but ")
        raise ValueError(f"{where}, line {line}: no valid YAML: {problem}") from None
    except YAMLError as error:
        raise ValueError(f"{where}: no valid YAML: {str(error).splitlines()[0]}") from None
    value = default if value is None else value
    if isinstance(default, dict) and not isinstance(value, dict):
        raise ValueError(f"{where}: expected sections such as 'data:'; received {shown(value)}")
    return value


def as_yaml(name: str) -> str:
    """A name as it is written into YAML: in quotes where it would be read as something else, as a
    number, say."""
    try:
        plain = _parse(f"{{{name}: {name}}}", "", default={}) == {name: name}
    except ValueError:
        plain = False
    return name if plain else json.dumps(name, ensure_ascii=False)


def _override(tree: dict[str, Any], override: str) -> None:
    """Sets one `section.field=value` in place; the value is YAML."""
    name, equals, text = override.partition("=")
    *sections, field = name.strip().split(".")
    if not equals or not all([*sections, field]):
        raise ValueError(f"--set: expected section.field=value; received {override!r}")
    for section in sections:
        if tree.get(section) is None:
            tree[section] = {}
        tree = tree[section]
        if not isinstance(tree, dict):
            raise ValueError(
                f"--set: expected section.field=value; received {override!r}, but {section!r} is "
                f"{shown(tree)} and has no fields"
            )
    tree[field] = _parse(text, f"--set {name}", default=None)


def schema() -> dict[str, Any]:
    """The JSON schema of a config, for editors."""
    return RunConfig.model_json_schema()
