"""A pass of the frozen prefix as a job: it leaves activations of a split in the store.

What a pass needs is in its folder, `checkpoint/pass` of the run, before it starts. Done in another
process, it leaves the same bytes under the same keys. Here it is done by the process that wants the
activations, which has the prefixes traced and the examples at hand. One folder serves all passes of
a run, one after the other: a config takes longer to write than a small pass takes.
"""

import functools
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from tl_keras.config.whole import RunConfig
from tl_keras.data import batches
from tl_keras.data.inputs import Training
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.sources.unlabelled import with_taught
from tl_keras.data.store import Kept, Request
from tl_keras.jobs import job
from tl_keras.modalities import part
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.architecture import Architecture, architecture, reading
from tl_keras.training.features import Prefixes, Shown
from tl_keras.training.network import model as models


@dataclass(frozen=True)
class Pass:
    """Which activations a pass makes.

    Attributes:
      names: of cuts.
      split: of the data that activations are computed of, see `Data.source`.
      view: None for the examples as they are.
      half: as of `prefixes`.
    """

    names: Sequence[str]
    split: str
    view: int | None
    half: bool


def prefixes(arch: Architecture, half: bool) -> Prefixes:
    """The prefixes at the architecture's depths, tried on the first training examples.

    Args:
      half: of `trained`, where that computes in half precision, with all depths; else of the
        backbone, whose output is the head's features.
    """
    half = half and arch.trained is not arch.model
    if half not in arch.shared.tried:
        backbone = models.backbone_of(arch.trained) if half else arch.backbone
        cuts = arch.cuts if half or arch.trained is arch.model else ()
        with arch.run.timed("features"):
            inputs = arch.data.source.inputs["train"]
            first = next(iter(batches.read_once(inputs, features.BATCH_SIZE)))
            arch.shared.tried[half] = features.prefixes(backbone, cuts, first, arch.config.model)
    return arch.shared.tried[half]


def kept(arch: Architecture, one: Pass, how: Training) -> dict[str, Kept]:
    """By cut, activations from the store; a pass makes those that it lacks."""
    found = prefixes(arch, one.half)
    with arch.run.timed("features"), _as_before_training(arch):
        shown, begin = _shown(arch, one, how), functools.partial(_prepare, arch, one)
        return features.compute(found, one.names, shown, arch.config.cache, begin)


def _shown(arch: Architecture, one: Pass, how: Training) -> Shown:
    source = arch.data.source
    inputs = source.inputs[one.split]
    shown = features.unaugmented(inputs, source.dataset, one.split, arch.config)
    return shown if one.view is None else features.viewed(shown, inputs, how, one.view)


@contextmanager
def _as_before_training(arch: Architecture) -> Iterator[None]:
    """Gives the models their initial weights meanwhile: the prefixes share their layers, of which
    those between a shallower depth and a deeper one may just be trained."""
    every = [arch.model] if arch.trained is arch.model else [arch.model, arch.trained]
    now = [(variable, variable.numpy()) for model in every for variable in models.tunable(model)]
    for model in every:
        models.reset(model, arch.initial)
    try:
        yield
    finally:
        for variable, value in now:
            variable.assign(value)


def _prepare(arch: Architecture, one: Pass, asked: Sequence[Request]) -> None:
    """Puts into the folder of the run's passes what the next one needs."""
    suffix = f"_{hashlib.sha256(arch.label.encode()).hexdigest()[:8]}" if arch.label else ""
    waiting = Run(arch.run.checkpoint / f"pass{suffix}", _config(arch), "pass")
    needs = {
        **asdict(one),
        "keys": [request.name for request in asked],
        "cuts": arch.cuts,
        "whole": arch.data.source.dataset.whole,
        "taught": job.needs(arch.run).get("taught"),  # Of a student.
    }
    if waiting.workdir in arch.shared.prepared:
        job.write_needs(waiting, **needs)
        return
    shutil.rmtree(waiting.workdir, ignore_errors=True)  # Of a session that was killed.
    job.prepare(waiting, **needs)
    arch.shared.prepared.add(waiting.workdir)


def _config(arch: Architecture) -> RunConfig:
    """The architecture's config, with the views that the run shows: trials may differ in these."""
    config, settings = arch.config, arch.run.config.settings
    names = part(config.modality, "config").OF_THE_VIEWS
    return config.with_settings(**{name: getattr(settings, name) for name in names})


def run_job(waiting: Run) -> None:
    """Does a pass that was prepared: afterwards its activations are in the store.

    Raises:
      ValueError: the examples or the weights are not those that it was prepared for.
    """
    config, needs = waiting.config, job.needs(waiting)
    one = Pass(needs["names"], needs["split"], needs["view"], needs["half"])
    data = _data(config, one, needs["whole"], needs["taught"])
    backbone = models.pretrained(config.model, config.settings)
    arch = architecture(waiting, config, data, backbone, needs["cuts"])
    found, how = prefixes(arch, one.half), reading(config, data.dataset)
    with waiting.timed("features"):
        shown = _shown(arch, one, how)
        keys = [request.name for request in features.requests(found, one.names, shown)]
        if keys != needs["keys"]:
            raise ValueError(
                f"data: the {config.nouns[1]} or the weights are not those that the job was made "
                "for; restore them, or start the whole run again in another --workdir"
            )
        made = features.compute(found, one.names, shown, config.cache)
    waiting.finish(
        waiting.outcome(activation_bytes={name: own.array.nbytes for name, own in made.items()})
    )


def _data(config: RunConfig, one: Pass, whole: bool, taught: dict | None) -> Data:
    """The examples of a pass, and those that prefixes are tried on."""
    dataset = load(config)
    if whole:
        dataset = dataset.pooled()
    if taught is not None:
        dataset = with_taught(dataset, config, taught)
    return prepared(dataset, config, sorted({"train", one.split}))
