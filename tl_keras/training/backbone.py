"""The backbone that a run begins with, and has to go on with, until it has its model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from tl_keras.backbones import model_file, table
from tl_keras.backbones.weights import digest, graph_digest
from tl_keras.config import space
from tl_keras.config.model import WEIGHTS, ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.run.budget import goes_on
from tl_keras.run.files import replacing
from tl_keras.run.result.whole import to_json
from tl_keras.run.run import Run
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models


def begin(run: Run) -> keras.Model | None:
    """The pretrained backbone, of a search that of its first architecture; None where the run has
    its model already, and no search to go on.

    Made before the data are read, which takes longer: a mistake in it shows at once.

    Raises:
      ValueError: the weights cannot be had or do not fit, or `fit.freeze` names no cut point.
    """
    config = run.config
    if _has_model(run) and not goes_on(run):
        return None
    keras.utils.set_random_seed(config.seed)
    first, *others = space.first_trials(config)
    found = models.pretrained(first.model, first.settings)
    for depth in space.depths(config):
        if depth != "auto":
            freeze.resolve(found, table.block_pattern(first.model.backbone), depth)
    if not others:
        refuse_another(run, first.model, found)
    elif not (run.workdir / "search").exists():
        _check_weights(config)
    return found


def _has_model(run: Run) -> bool:
    """Whether the run has its model, and says how it was made; else it is made again."""
    described = run.result is not None or "kept" in run.record.get("model", {})
    return described and (run.workdir / "model.keras").exists()


def trained(
    run: Run, data: Data, backbone: keras.Model | None, train: Callable[..., keras.Model | Path]
) -> keras.Model:
    """The model of `model.keras`, which is trained first if there is none.

    Args:
      backbone: as `begin` gives it.
      train: takes run, data and backbone; gives a model, or that file if it has written it.
    """
    file = run.workdir / "model.keras"
    if backbone is not None:
        made = train(run, data, backbone)
        if not isinstance(made, Path):
            with replacing(file) as temporary:
                made.save(temporary)
    return models.load(file)


def _check_weights(config: RunConfig) -> None:
    """Loads the files of weights of all architectures but the first, which is loaded already."""
    found = zip(space.architectures(config), space.first_trials(config), strict=True)
    seen: set[str] = set()
    for values, trial in found:
        key = trial.model.model_dump_json(exclude={"dropout", "head_width"})
        if seen and key not in seen and trial.model.weights not in WEIGHTS:
            try:
                models.pretrained(trial.model, trial.settings)
            except ValueError as error:
                named = ", ".join(f"{name} {value!r}" for name, value in values.items())
                raise ValueError(
                    f"search.space: with {named}: {error}; give each backbone its file, as in "
                    "search.space.model: [{backbone: A, weights: a.h5}, {backbone: B, ...}]"
                ) from None
        seen.add(key)


def refuse_another(
    run: Run, config: ModelConfig, backbone: keras.Model, label: str | None = None
) -> None:
    """A killed run goes on with the backbone that it began with, or not at all.

    Args:
      label: of the architecture, where a search has several.

    Raises:
      ValueError: the file of the backbone or of its weights is another one by now.
    """
    part = "backbones" if label else "model"
    earlier = to_json(run.result) if run.result else {}
    began = {**earlier.get(part, {}), **run.record.get(part, {})}
    digests = check_began(run, config, backbone, began.get(label, {}) if label else began)
    run.add(**{part: {label: digests} if label else digests})


def check_began(
    run: Run, config: ModelConfig, backbone: keras.Model, began: Mapping[str, Any]
) -> dict[str, str]:
    """The digests of a backbone.

    Args:
      began: those that the run began with.

    Raises:
      ValueError: the file of the backbone or of its weights is another one by now.
    """
    digests = {}
    if model_file.is_file(config.backbone):
        digests["graph_digest"] = graph_digest(backbone)
    if config.is_pretrained:
        digests["weights_digest"] = digest(backbone)
    for name, found in digests.items():
        if began.get(name, found) != found:
            filled = name == "weights_digest" and config.weights not in WEIGHTS
            field = "weights" if filled else "backbone"
            raise ValueError(
                f"model.{field}: {getattr(config, field)!r} is not what {str(run.workdir)!r} began "
                "with; restore it, or choose another --workdir"
            )
    return digests


def digests_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The digests in what a record says of a model."""
    return {name: record[name] for name in ("graph_digest", "weights_digest") if name in record}
