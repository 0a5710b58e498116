"""Builds the backbone of a run, and checks that a resumed run still has the same one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from tl_keras.backbones import model_file, table
from tl_keras.config import space
from tl_keras.config.model import WEIGHTS, ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.modalities import part
from tl_keras.run.budget import has_unfinished_search
from tl_keras.run.files import replacing
from tl_keras.run.result.whole import to_json
from tl_keras.run.run import Run
from tl_keras.run.trained import as_trained
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.digests import digest, graph_digest


def begin(run: Run) -> keras.Model | None:
    """Returns the pretrained backbone; None if the run already has its final model.

    For a search, this is the backbone of the first architecture. The backbone is built before the
    data are read, since reading takes longer and a mistake in `model` should show at once.

    Raises:
      ValueError: the weights cannot be loaded or do not fit, or the name in `fit.freeze` is not a
        cut point.
    """
    config = run.config
    if _has_model(run) and not has_unfinished_search(run):
        return None
    first, *others = space.first_trials(config)
    backbone = initial(config)
    for depth in space.depths(config):
        if depth != "auto":
            freeze.resolve(backbone, table.block_pattern(first.model.backbone), depth)
    if not others:
        check_same(run, first.model, backbone)
    elif not (run.workdir / "search").exists():
        _check_weights(config)
    return backbone


def initial(config: RunConfig) -> keras.Model:
    """Returns the backbone with its initial weights; in a search, the first architecture's."""
    keras.utils.set_random_seed(config.seed)
    first = space.first_trials(config)[0]
    return models.pretrained(first.model, first.settings)


def _has_model(run: Run) -> bool:
    """Returns True if the run has `model.keras` and the record of its training.

    If either is missing, the model is trained again.
    """
    described = run.result is not None or "kept" in run.record.get("model", {})
    return described and (run.workdir / "model.keras").exists()


def trained(
    run: Run, data: Data, backbone: keras.Model | None, train: Callable[..., keras.Model | Path]
) -> keras.Model:
    """Returns the model in `model.keras`; trains and saves it first if `backbone` is given.

    Args:
      backbone: the result of `begin`; None if the run already has its final model.
      train: a function of run, data and backbone that returns the trained model, or the path of
        `model.keras` if it has already written that file.
    """
    file = run.workdir / "model.keras"
    if backbone is not None:
        model = train(run, data, backbone)
        if not isinstance(model, Path):
            with replacing(file) as temporary:
                model.save(temporary)
    if backbone is not None or run.result is None:  # A run may have been killed before this line.
        prepare = part(run.config.modality, "prepare")
        prepare.keep(as_trained(run).config.settings, run.workdir)
    return models.load(file)


def _check_weights(config: RunConfig) -> None:
    """Checks the weight files of a search's architectures, except the first, by loading them."""
    seen: set[str] = set()
    for values, trial in zip(space.architectures(config), space.first_trials(config), strict=True):
        key = trial.model.model_dump_json(exclude={"dropout", "head_width"})
        if seen and key not in seen and trial.model.weights not in WEIGHTS:
            try:
                models.pretrained(trial.model, trial.settings)
            except ValueError as error:
                named = ", ".join(f"{name} {value!r}" for name, value in values.items())
                raise ValueError(
                    f"search.space: with {named}: {error}; give each backbone its own weights, as "
                    "in search.space.model: [{backbone: A, weights: a.h5}, {backbone: B, ...}]"
                ) from None
        seen.add(key)


def check_same(
    run: Run, config: ModelConfig, backbone: keras.Model, label: str | None = None
) -> None:
    """Checks that a resumed run has the backbone with which it began; records digests of it.

    Args:
      label: name of the architecture in the record if a search has several, else None.

    Raises:
      ValueError: the backbone's file or its weights have changed since the run began.
    """
    part = "backbones" if label else "model"
    earlier = to_json(run.result) if run.result else {}
    began = {**earlier.get(part, {}), **run.record.get(part, {})}
    digests = check_began(run, config, backbone, began.get(label, {}) if label else began)
    run.add(**{part: {label: digests} if label else digests})


def check_began(
    run: Run, config: ModelConfig, backbone: keras.Model, began: Mapping[str, Any]
) -> dict[str, str]:
    """Returns a backbone's digests, after checking that they are the same as when the run began.

    They are `graph_digest` (of the layers), only if the backbone is from a file, and
    `weights_digest`, only if it is pretrained.

    Args:
      began: the record of the backbone when the run began, with its digests; may be empty.

    Raises:
      ValueError: the backbone's file or its weights have changed since the run began.
    """
    digests = {}
    if model_file.is_file(config.backbone):
        digests["graph_digest"] = graph_digest(backbone)
    if config.is_pretrained:
        digests["weights_digest"] = digest(backbone)
    for name, current in digests.items():
        if began.get(name, current) != current:
            from_file = name == "weights_digest" and config.weights not in WEIGHTS
            field = "weights" if from_file else "backbone"
            raise ValueError(
                f"model.{field}: {getattr(config, field)!r} has changed since the run in "
                f"{str(run.workdir)!r} began; restore it, or choose another --workdir"
            )
    return digests


def digests_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Returns `graph_digest` and `weights_digest` from the record of a model, if it has them."""
    return {name: record[name] for name in ("graph_digest", "weights_digest") if name in record}
