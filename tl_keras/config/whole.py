"""`RunConfig`: all sections of a config, and the checks of one section against another.

A field is defined once, in the section named after the module that reads it. Sections are
immutable and forbid unknown fields. A config file contains only what differs from the defaults.
Importing this module imports no Keras.
"""

import os
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model, field_validator, model_validator

from tl_keras import tasks
from tl_keras.backbones import model_file, table
from tl_keras.config import detect
from tl_keras.config.cache import CacheConfig
from tl_keras.config.commands import (
    CompareConfig,
    CrossValidateConfig,
    EvaluateConfig,
    ParallelConfig,
)
from tl_keras.config.data import DRAWN, DataConfig, source_of
from tl_keras.config.export import ExportConfig
from tl_keras.config.fit import FitConfig
from tl_keras.config.messages import nearest
from tl_keras.config.model import ModelConfig
from tl_keras.config.pretrain import LABELS, PretrainConfig
from tl_keras.config.search import SearchConfig
from tl_keras.config.section import Section, Text
from tl_keras.modalities import DEFAULT, MODALITIES, nouns, part


class _Data(Section):
    task: Text = Field(
        tasks.DEFAULT,
        description="What the model predicts. classification: one of several classes.",
    )
    # Checked even if the config does not contain it: most sources need a path.
    data: DataConfig = Field(default_factory=dict, validate_default=True)


# Each modality has a section of its own name, as in `image: {size: 96}`.
_SETTINGS = {name: part(name, "config").SECTION for name in MODALITIES}
# Type checkers cannot follow the table; they see the section of the default modality.
if TYPE_CHECKING:
    from tl_keras.modalities.image.config import ImageConfig

    class _Examples(_Data):
        image: ImageConfig = ImageConfig()
else:
    _Examples = create_model(
        "_Examples",
        __base__=_Data,
        **{name: (settings, settings()) for name, settings in _SETTINGS.items()},
    )


def _with_source(data: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of the section `data`, in which the path decides on a missing `source`."""
    path = data.get("path")
    if "source" in data or not isinstance(path, str | os.PathLike):
        return dict(data)
    path = os.path.expanduser(path)
    return {**data, "source": "folder" if os.path.isdir(path) else source_of(path)}


def _is_open(value: Any) -> bool:
    return value is None or value == "auto"


class RunConfig(_Examples):
    """The whole config of a run: everything that decides what the run computes."""

    model: ModelConfig = ModelConfig()
    fit: FitConfig = FitConfig()
    search: SearchConfig = Field(default_factory=SearchConfig)
    cross_validate: CrossValidateConfig = CrossValidateConfig()
    parallel: ParallelConfig = ParallelConfig()
    compare: CompareConfig = CompareConfig()
    pretrain: PretrainConfig = PretrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    cache: CacheConfig = CacheConfig()
    seed: Annotated[int, Field(ge=0, lt=2**30)] = Field(
        0,
        description="Random seed of everything but the splits, folds and segments (see "
        "data.split_seed): initial weights, order of examples, augmentation, dropout, search.",
    )

    @field_validator("task")
    @classmethod
    def _check_task(cls, value: str) -> str:
        choices = " or ".join(map(repr, tasks.TASKS))
        if value in tasks.TASKS:
            return value
        if value in tasks.NOT_BUILT:
            raise ValueError(f"{value!r} is not implemented yet; expected {choices}")
        near = nearest(value, (*tasks.TASKS, *tasks.NOT_BUILT))
        raise ValueError(f"expected {choices}; received {value!r}{near}")

    @model_validator(mode="before")
    @classmethod
    def _default_of_modality(cls, tree: Any) -> Any:
        """Sets `data.source` and `data.modality` if they are open, and the defaults of both."""
        if not isinstance(tree, dict) or not isinstance(tree.get("data"), dict):
            return tree
        tree = {**tree, "data": _with_source(tree["data"])}
        given, modality = tree["data"].get("modality", "auto"), detect.modality_of(tree["data"])
        if modality == "auto":
            # Missing or damaged data are reported later. A modality that the backbone does not take
            # must not be reported before that.
            model = tree.get("model")
            backbone = model.get("backbone") if isinstance(model, dict) else None
            modality = table.modality_of(backbone) or modality
        if modality not in MODALITIES or (given == "auto" and modality == DEFAULT):
            return tree
        tree["data"]["modality"] = modality
        for section, defaults in part(modality, "config").DEFAULTS.items():
            if isinstance(tree.get(section, {}), dict):
                tree[section] = {**defaults, **tree.get(section, {})}
        return tree

    @model_validator(mode="before")
    @classmethod
    def _default_metrics(cls, tree: Any) -> Any:
        """Sets the defaults of `search.objective` and `fit.choose_by` to those of the task."""
        task = tree.get("task", tasks.DEFAULT) if isinstance(tree, dict) else tasks.DEFAULT
        if task == tasks.DEFAULT or task not in tasks.TASKS:
            return tree
        names, tree = tasks.of(task, "names"), dict(tree)
        defaults = {"search": ("objective", names.OBJECTIVE)}
        defaults["fit"] = ("choose_by", names.CHOOSE_BY[0])
        for section, (field, value) in defaults.items():
            if isinstance(tree.get(section, {}), dict):
                tree[section] = {field: value, **tree.get(section, {})}
        return tree

    @model_validator(mode="after")
    def _check_against_task(self) -> "RunConfig":
        names = tasks.of(self.task, "names")
        chosen = {
            "search.objective": (self.search.goal.metric, names.METRICS),
            "fit.choose_by": (self.fit.choose_by, names.CHOOSE_BY),
        }
        for field, (value, known) in chosen.items():
            if value not in known:
                raise ValueError(
                    f"{field}: expected one of {', '.join(known)} for the task {self.task}; "
                    f"received {value!r}{nearest(value, known)}"
                )
        if self.export.abstain is not None and "abstain" not in names.OPTIONAL:
            raise ValueError(
                f"export.abstain: not available for the task {self.task}; expected null, received "
                f"{self.export.abstain:g}"
            )
        return self

    @model_validator(mode="after")
    def _check_model(self) -> "RunConfig":
        model, fit = self.model, self.fit
        if not model_file.is_file(model.backbone):
            table.check(model, self.settings)
        part(self.modality, "config").check(self)
        if not model.is_pretrained and fit.keep == "average":
            raise ValueError(
                "fit.keep: 'average' is not possible, since model.weights is 'none': the "
                "statistics of batch norm would not fit averaged weights; expected 'auto' or 'best'"
            )
        if not model.is_pretrained and fit.asks_to_freeze:
            raise ValueError(
                f"fit.freeze: {fit.freeze!r} would freeze random weights, since "
                "model.weights is 'none'; expected 'auto' or 0"
            )
        if not model.is_pretrained and fit.epochs == 0:
            raise ValueError(
                "fit.epochs: 0 would train only the head, on random features, since model.weights "
                "is 'none'; expected 'auto' or at least 1"
            )
        return self

    @model_validator(mode="after")
    def _check_objective(self) -> "RunConfig":
        objective, known = self.pretrain.objective, part(self.modality, "config").OBJECTIVES
        if objective not in (LABELS, *known):
            fitting = [name for name in MODALITIES if objective in part(name, "config").OBJECTIVES]
            several = nouns(fitting[0])[1]
            raise ValueError(
                f"pretrain.objective: {objective!r} is not possible with {self.nouns[1]}; expected "
                f"{' or '.join(map(repr, (LABELS, *known)))}; if the data are {several}, set "
                f"data.modality={fitting[0]}"
            )
        return self

    @model_validator(mode="after")
    def _check_student(self) -> "RunConfig":
        if self.parallel.student is None:
            return self
        students = self.of_students
        if not students.model.is_pretrained:
            raise ValueError(
                "parallel.student: each student starts from pretrained weights; expected weights "
                f"for {students.model.backbone}, received none"
            )
        if not model_file.is_file(students.model.backbone):
            try:
                table.check(students.model, students.settings)
            except ValueError as error:
                raise ValueError(f"parallel.student: {error}") from None
        return self

    @property
    def of_students(self) -> "RunConfig":
        """The config with the backbone of the students, `parallel.student`, in place of `model`."""
        student = self.parallel.student
        if student is None:
            return self
        head = {name: getattr(self.model, name) for name in ("dropout", "head_width")}
        return self.model_copy(update={"model": ModelConfig(**{**head, **student})})

    @property
    def modality(self) -> str:
        """The modality of the examples, such as `image`; never `auto`.

        If `data.modality` is `auto`, this is the modality of the source.
        """
        if self.data.modality != "auto":
            return str(self.data.modality)
        return DRAWN.get(self.data.source, DEFAULT)

    @property
    def nouns(self) -> tuple[str, str]:
        """The singular and plural noun for an example, as in `("image", "images")`."""
        return nouns(self.modality)

    @property
    def settings(self) -> Any:
        """The config section of the examples' modality, such as `image`.

        Fields that depend on the backbone, and that the config does not set, are filled in.
        """
        section = getattr(self, self.modality)
        decided = table.decided(self.model)
        # The backbone may be of another modality, which `table.check` refuses.
        known = [name for name in decided if name in type(section).model_fields]
        missing = {name: decided[name] for name in known if _is_open(getattr(section, name))}
        return section.model_copy(update=missing) if missing else section

    def with_settings(self, **changed: Any) -> "RunConfig":
        """Returns a copy of the config with changed fields in the section of its modality."""
        settings = self.settings.model_copy(update=changed)
        return self.model_copy(update={self.modality: settings})
