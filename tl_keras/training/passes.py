"""Runs the frozen prefix over a split, as a job, and writes the activations to the store.

A pass is a job: everything it needs is in its folder, `checkpoint/pass` of the run, before it
starts. A pass in another process writes the same bytes under the same keys. Normally the process
that needs the activations runs the pass itself, since it already has the traced prefixes and the
examples. All passes of a run use the same folder one after the other, because writing a new config
takes longer than a small pass.
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
    """Which activations a pass computes.

    Attributes:
      names: names of the cuts.
      split: name of a split of `Data.source`.
      view: number of the augmented view; None for the unaugmented examples.
      half: whether the half-precision prefixes are used, see `prefixes`.
    """

    names: Sequence[str]
    split: str
    view: int | None
    half: bool


def prefixes(arch: Architecture, half: bool) -> Prefixes:
    """Returns the prefixes at the architecture's depths, timed on the first training examples.

    Args:
      half: True for the prefixes of `arch.trained` at all depths, if mixed precision is on. False
        for the prefixes of the float32 backbone, whose output is the features of the head.
    """
    half = half and arch.trained is not arch.model
    if half not in arch.shared.prefixes:
        backbone = models.backbone_of(arch.trained) if half else arch.backbone
        cuts = arch.cuts if half or arch.trained is arch.model else ()
        with arch.run.timed("features"):
            inputs = arch.data.source.inputs["train"]
            first = next(iter(batches.read_once(inputs, features.BATCH_SIZE)))
            arch.shared.prefixes[half] = features.prefixes(backbone, cuts, first, arch.config.model)
    return arch.shared.prefixes[half]


def kept(arch: Architecture, this_pass: Pass, how: Training) -> dict[str, Kept]:
    """Returns the stored activations by cut; runs a pass for those that the store lacks."""
    arch_prefixes = prefixes(arch, this_pass.half)
    with arch.run.timed("features"), _as_before_training(arch):
        shown, begin = _shown(arch, this_pass, how), functools.partial(_prepare, arch, this_pass)
        return features.compute(arch_prefixes, this_pass.names, shown, arch.config.cache, begin)


def _shown(arch: Architecture, this_pass: Pass, how: Training) -> Shown:
    source = arch.data.source
    inputs = source.inputs[this_pass.split]
    shown = features.unaugmented(inputs, source.dataset, this_pass.split, arch.config)
    return shown if this_pass.view is None else features.viewed(shown, inputs, how, this_pass.view)


@contextmanager
def _as_before_training(arch: Architecture) -> Iterator[None]:
    """Restores the models' initial weights inside the context, and the current ones afterwards.

    The prefixes share the models' layers. A training at a shallower depth may have changed layers
    that belong to the prefix of a deeper cut.
    """
    trained_models = [arch.model] if arch.trained is arch.model else [arch.model, arch.trained]
    current = [
        (variable, variable.numpy())
        for model in trained_models
        for variable in models.tunable(model)
    ]
    for model in trained_models:
        models.reset(model, arch.initial)
    try:
        yield
    finally:
        for variable, value in current:
            variable.assign(value)


def _prepare(arch: Architecture, this_pass: Pass, requests: Sequence[Request]) -> None:
    """Writes to the folder of the run's passes everything that the next pass needs."""
    suffix = f"_{hashlib.sha256(arch.label.encode()).hexdigest()[:8]}" if arch.label else ""
    waiting = Run(arch.run.checkpoint / f"pass{suffix}", _config(arch), "pass")
    needs = {
        **asdict(this_pass),
        "keys": [request.name for request in requests],
        "cuts": arch.cuts,
        "whole": arch.data.source.dataset.whole,
        "taught": job.needs(arch.run).get("taught"),  # Only a student has teacher labels.
    }
    if waiting.workdir in arch.shared.prepared:
        job.write_needs(waiting, **needs)
        return
    shutil.rmtree(waiting.workdir, ignore_errors=True)  # A killed process may have left it.
    job.prepare(waiting, **needs)
    arch.shared.prepared.add(waiting.workdir)


def _config(arch: Architecture) -> RunConfig:
    """Returns the architecture's config with the run's values of the fields that decide the views.

    Trials of the same architecture may differ in these fields.
    """
    config, settings = arch.config, arch.run.config.settings
    names = part(config.modality, "config").OF_THE_VIEWS
    return config.with_settings(**{name: getattr(settings, name) for name in names})


def run_job(waiting: Run) -> None:
    """Runs a prepared pass and writes its activations to the store.

    Raises:
      ValueError: examples or weights have changed since the pass was prepared.
    """
    config, needs = waiting.config, job.needs(waiting)
    this_pass = Pass(needs["names"], needs["split"], needs["view"], needs["half"])
    data = _data(config, this_pass, needs["whole"], needs["taught"])
    backbone = models.pretrained(config.model, config.settings)
    arch = architecture(waiting, config, data, backbone, needs["cuts"])
    arch_prefixes, how = prefixes(arch, this_pass.half), reading(config, data.dataset)
    with waiting.timed("features"):
        shown = _shown(arch, this_pass, how)
        keys = [
            request.name for request in features.requests(arch_prefixes, this_pass.names, shown)
        ]
        if keys != needs["keys"]:
            raise ValueError(
                f"data: the {config.nouns[1]} or the weights have changed since this job was "
                "prepared; restore them, or start the whole run again in another --workdir"
            )
        computed = features.compute(arch_prefixes, this_pass.names, shown, config.cache)
    sizes = {name: stored.array.nbytes for name, stored in computed.items()}
    waiting.finish(waiting.outcome(activation_bytes=sizes))


def _data(config: RunConfig, this_pass: Pass, whole: bool, taught: dict | None) -> Data:
    """Returns the data of a pass: its split, and train, on which the prefixes are timed."""
    dataset = load(config)
    if whole:
        dataset = dataset.pooled()
    if taught is not None:
        dataset = with_taught(dataset, config, taught)
    return prepared(dataset, config, sorted({"train", this_pass.split}))
