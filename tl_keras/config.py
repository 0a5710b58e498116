"""RunConfig and its sections: what a run is, checked on load. Imports no Keras.

A field is defined once, in the section named after the module that reads it. Sections are
frozen and forbid unknown fields. Only what differs from the defaults needs to be written.
"""

import difflib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tl_keras import backbones

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(ge=0, lt=1)]
Auto = Literal["auto"]
Format = Literal["saved_model", "float32", "float16", "dynamic", "int8"]
FORMATS: tuple[Format, ...] = get_args(Format)


class Section(BaseModel):
    """A part of a config: frozen, strict about types, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RandAugment(Section):
    """Random operations drawn from a list (arXiv 1909.13719)."""

    layers: Annotated[int, Field(ge=1, le=6)] = 2  # operations an image
    magnitude: Share = 0.3  # 1 is the strongest of each operation


class Augmentation(Section):
    """One random operation on training images; an entry of the list names exactly one."""

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
        if len(self.model_fields_set) != 1 or getattr(self, self.name) is None:
            raise ValueError("each entry names one operation and its strength, as in {flip: both}")
        return self

    @property
    def name(self) -> str:
        """The operation that this entry names."""
        return next(iter(self.model_fields_set))


class DataConfig(Section):
    """Which examples, in which splits, prepared and augmented how."""

    source: Literal["folder", "csv", "tfds", "digits", "glyphs"] = "folder"
    path: str | None = None  # folder, CSV file, or TFDS data folder
    name: str | None = None  # TFDS builder, as in "beans" or "cifar10:3.0.2"
    image_size: Annotated[int, Field(ge=16, le=1024)] = 160  # px, height = width
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    antialias: bool = False  # devices' image classifiers do not
    val: Annotated[float, Field(gt=0, lt=0.9)] = 0.15  # share carved from train where none is given
    test: OpenShare = 0.15  # the same
    split_seed: Annotated[int, Field(ge=0, lt=2**30)] = (
        0  # apart from `seed`: other seeds share the splits
    )
    examples_per_class: Annotated[int, Field(ge=2)] | None = None  # at most, train and val together
    num_examples: Annotated[int, Field(ge=200)] = 40_000  # glyphs alone: training images an epoch
    max_pixels: Annotated[int, Field(ge=1)] = 64_000_000  # found before decoding
    max_bad_share: Share = 0.1  # of the files
    augment: tuple[Augmentation, ...] = (
        Augmentation(flip="horizontal"),
        Augmentation(rotation=0.05),
        Augmentation(zoom=0.1),
        Augmentation(contrast=0.1),
    )
    balance: Literal["none", "weights", "oversample"] = "none"

    @field_validator("augment", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("path")
    @classmethod
    def is_absolute(cls, value: str | None) -> str | None:
        # A saved config loads from any folder.
        return None if value is None else os.path.abspath(os.path.expanduser(value))

    @model_validator(mode="after")
    def names_its_source(self) -> "DataConfig":
        if self.source in ("folder", "csv") and self.path is None:
            raise ValueError(f"data.path: source {self.source!r} needs one; received none")
        if self.source == "tfds" and self.name is None:
            raise ValueError("data.name: source 'tfds' needs a builder's name, as in 'beans'")
        if self.source == "glyphs" and self.augment:
            raise ValueError("data.augment: glyphs are drawn anew each epoch; write augment: []")
        if self.val + self.test >= 1:
            raise ValueError(f"data.test: val {self.val} and test {self.test} leave no train")
        return self


class ModelConfig(Section):
    """The backbone, where its weights come from, and the head."""

    backbone: str = "MobileNetV2"
    options: dict[str, bool | int | float] = {}  # the constructor's own, as in {alpha: 0.35}
    weights: str = "imagenet"  # imagenet | glyphs | none | a file | an earlier run's folder
    dropout: OpenShare = 0.2

    @field_validator("weights")
    @classmethod
    def is_absolute(cls, value: str) -> str:
        named = value in ("imagenet", "glyphs", "none")
        return value if named else os.path.abspath(os.path.expanduser(value))


class FitConfig(Section):
    """How the head and the layers above the freeze depth are trained."""

    epochs: Annotated[int, Field(ge=0)] | Auto = "auto"  # of the suffix; 0: the head alone
    batch_size: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0)] | Auto = "auto"  # the peak
    freeze: Share | str = "auto"  # share of the blocks, or a layer's name
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4  # adamw alone
    warmup: OpenShare = 0.1  # share of the steps
    patience: Annotated[int, Field(ge=1)] = 10  # epochs without a better validation loss
    label_smoothing: OpenShare = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0  # of all gradients together
    ema: OpenShare = 0.0  # momentum of the weights' moving average; 0: none
    views: Annotated[int, Field(ge=1)] | None = None  # augmented views an image; null: one an epoch
    mixed_precision: bool = False
    choose_by: Literal["log_loss", "accuracy"] = "log_loss"  # on validation, among the candidates

    @field_validator("freeze")
    @classmethod
    def is_share(cls, value: float | str) -> float | str:
        if isinstance(value, str) and not value.strip():
            raise ValueError("a share from 0 to 1, 'auto' or a layer's name")
        return value


class ExportConfig(Section):
    """Which files a finished run leaves, and how much they may differ from model.keras."""

    formats: tuple[Format, ...] = FORMATS
    calibration_examples: Annotated[int, Field(ge=1)] = 200  # from train, for int8
    max_difference: Annotated[float, Field(gt=0)] = 1e-3  # of probability, saved_model and float32
    max_accuracy_drop: Share = 0.01  # the other formats, on validation

    @field_validator("formats", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class CacheConfig(Section):
    """Where decoded images and activations are kept; never part of a fingerprint."""

    path: str | None = None  # null: the user's cache folder
    max_bytes: Annotated[float, Field(ge=0)] = 20e9


class RunConfig(Section):
    """Everything that decides what a run computes."""

    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = ModelConfig()
    fit: FitConfig = FitConfig()
    export: ExportConfig = ExportConfig()
    cache: CacheConfig = CacheConfig()
    seed: Annotated[int, Field(ge=0, lt=2**30)] = 0

    @model_validator(mode="after")
    def can_be_built(self) -> "RunConfig":
        model = self.model
        backbones.check(model.backbone, model.options, self.data.image_size, model.weights)
        return self


# Sections that only add to a run: a workdir accepts other values of these.
ADDING = ("export", "cache")


def load(file: str | Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """A checked config from a YAML file and `section.field=value` overrides, in that order.

    Raises:
      ValueError: the file cannot be read, or a field is unknown or has a bad value; the message
        names every such field, the rule, what was received and the nearest valid choice.
    """
    tree = _read(Path(file)) if file else {}
    for override in overrides:
        _override(tree, override)
    return from_tree(tree)


def from_tree(tree: dict[str, Any]) -> RunConfig:
    """A checked config from nested dicts, as YAML gives them. Raises ValueError as `load` does."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ValueError("\n".join(_messages(error))) from None


EXPECTED_AT = {
    "data.path": "a folder of class folders, a CSV file, or a TFDS data folder, by data.source",
    "model.weights": "imagenet, glyphs, none, a weights file, or an earlier run's folder",
}


def check_paths(config: RunConfig) -> None:
    """Cheap checks of what a config points to, before anything slow.

    Raises:
      ValueError: `data.path` or the file or folder of `model.weights` does not exist.
    """
    paths = {"data.path": config.data.path}
    if config.model.weights not in ("imagenet", "glyphs", "none"):
        paths["model.weights"] = config.model.weights
    for field, path in paths.items():
        if path is not None and not os.path.exists(path):
            raise ValueError(f"{field}: {path!r} does not exist; expected {EXPECTED_AT[field]}")


def to_yaml(config: RunConfig) -> str:
    """The whole resolved config as YAML 1.2 text that `load` reads back to an equal config."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # Sections in the order of a run.
    yaml.dump(to_tree(config), stream)
    return stream.getvalue()


def to_tree(config: RunConfig) -> dict[str, Any]:
    """The whole resolved config as nested dicts of plain values, `None`-free in `augment`."""
    tree = config.model_dump(mode="json")
    entries = config.data.augment
    tree["data"]["augment"] = [
        entry.model_dump(mode="json", exclude_unset=True) for entry in entries
    ]
    return tree


def difference(old: RunConfig, new: RunConfig) -> str | None:
    """The first field that differs, as `fit.epochs: 10 in the workdir, 20 now`; None if none does.

    Fields that only add to a run (`export`, `cache`) may differ.
    """
    old_tree, new_tree = to_tree(old), to_tree(new)
    for section, value in new_tree.items():
        if section in ADDING or value == old_tree[section]:
            continue
        if not isinstance(value, dict):
            return f"{section}: {old_tree[section]!r} in the workdir, {value!r} now"
        for field, now in value.items():
            before = old_tree[section][field]
            if before != now:
                return f"{section}.{field}: {before!r} in the workdir, {now!r} now"
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"--config: {str(file)!r} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--config: {str(file)!r} cannot be read: {error}") from None
    return _parse(text, f"--config: {str(file)!r}", default={})


def _parse(text: str, where: str, default: Any) -> Any:
    """What YAML text says; a mapping where the default is one."""
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"{where}, line {line}: no valid YAML: {error.problem}") from None
    except YAMLError as error:
        raise ValueError(f"{where}: no valid YAML: {error}") from None
    value = default if value is None else value
    if isinstance(default, dict) and not isinstance(value, dict):
        raise ValueError(f"{where}: expected sections such as 'data:', received {value!r:.60}")
    return value


def _override(tree: dict[str, Any], override: str) -> None:
    """Sets one `section.field=value` in place; the value is YAML."""
    name, equals, text = override.partition("=")
    *sections, field = name.strip().split(".")
    if not equals or not all([*sections, field]):
        raise ValueError(f"--set: expected section.field=value, received {override!r}")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ValueError(f"--set: {name!r}: {section!r} has no fields")
    tree[field] = _parse(text, f"--set {name}", default=None)


def _messages(error: ValidationError) -> list[str]:
    """One line a field: rule, what was received, nearest valid choice.

    A field that takes one thing or another fails with a detail for each; their rules are joined.
    """
    details = [(_field(detail), detail) for detail in error.errors()]
    messages = []
    for field in dict.fromkeys(field for field, _ in details):
        own = [detail for name, detail in details if name == field]
        plain = [detail for detail in own if detail["type"] in ("extra_forbidden", "value_error")]
        messages += [_explain(field, detail) for detail in plain]
        if not plain:
            messages.append(_expected(field, own))
    return messages


def _field(detail: Any) -> str:
    # Members of unions end in tags such as `literal['auto']`, which no user wrote.
    return ".".join(str(part) for part in detail["loc"] if not _is_tag(str(part)))


def _explain(field: str, detail: Any) -> str:
    if detail["type"] == "value_error":  # Raised by a check of ours.
        text = str(detail["ctx"]["error"])
        named = any(text.startswith(f"{section}.") for section in RunConfig.model_fields)
        return text if named else f"{field}: {text}"
    location = field.split(".")
    siblings = _siblings(location)
    near = difflib.get_close_matches(location[-1], siblings, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(siblings)}"
    return f"{field}: no such field; {hint}"


def _expected(field: str, details: list[Any]) -> str:
    rules = [
        re.sub(r"^(Input )?(should be )?(a valid )?", "", detail["msg"])
        .replace("tuple", "a list")
        .split(" or instance of ")[0]
        for detail in details
    ]
    received = details[0]["input"]
    near = _nearest(received, " ".join(d.get("ctx", {}).get("expected", "") for d in details))
    return f"{field}: expected {' or '.join(rules)}; received {received!r:.80}{near}"


def _is_tag(part: str) -> bool:
    return part.startswith("constrained-") or "[" in part or part in ("float", "int", "str", "bool")


def _nearest(received: Any, expected: str) -> str:
    choices = [word for word in expected.replace(" or ", ", ").replace("'", "").split(", ") if word]
    near = difflib.get_close_matches(str(received), choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _siblings(location: list[str]) -> list[str]:
    """Fields that are known where `location` names one that is not."""
    section: type[BaseModel] = RunConfig
    for part in location[:-1]:
        field = section.model_fields.get(part)
        if field is None:  # An index into `augment`, the one list of sections.
            section = Augmentation
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            section = field.annotation
    return list(section.model_fields)


def schema() -> dict[str, Any]:
    """The JSON schema of a config, for editors."""
    return RunConfig.model_json_schema()
