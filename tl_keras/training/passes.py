"""Computes the activations of a split with the frozen prefix, and writes them to the store.

One computation over all examples of a split is called a pass. A pass is a job: before it starts,
its folder, `checkpoint/pass` of the run, has everything that it needs. A pass in another process
writes the same bytes to the same files of the store. Normally the process that needs the
activations runs the pass itself, since it already has the traced prefixes and the examples. All
passes of a run use the same folder one after the other, because writing a new config takes longer
than a small pass.
"""

import functools
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Training
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.sources.unlabelled import with_taught
from tl_keras.data.store import Kept, Request
from tl_keras.jobs import job
from tl_keras.modalities import part
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.architecture import Architecture, architecture, reading
from tl_keras.training.features import PassExamples
from tl_keras.training.network import model as models
from tl_keras.training.network.prefixes import Prefixes, prefixes_of


@dataclass(frozen=True)
class Pass:
    """Which activations a pass computes.

    Attributes:
      names: names of the cuts between frozen prefix and trained suffix.
      split: name of a split of `Data.source`.
      view: number of the augmented view; None for the unaugmented examples.
      half: True to use the prefixes in half precision, see `prefixes`.
    """

    names: Sequence[str]
    split: str
    view: int | None
    half: bool


def prefixes(arch: Architecture, half: bool) -> Prefixes:
    """Returns the frozen prefixes up to the architecture's cuts and up to the backbone's output.

    Each has a measured time per example; the times are measured on one batch of training examples.

    Args:
      half: True for the prefixes of `arch.trained`, in half precision if `fit.mixed_precision` is
        on. False for the prefixes of the float32 backbone, whose outputs are the features on which
        heads are fitted. If `fit.mixed_precision` is on, these prefixes have only one cut: the
        backbone's output.
    """
    half = half and arch.trained is not arch.model
    if half not in arch.shared.prefixes:
        backbone = models.backbone_of(arch.trained) if half else arch.backbone
        cuts = arch.cuts if half or arch.trained is arch.model else ()
        with arch.run.timed("features"):
            inputs = arch.data.source.inputs["train"]
            first = next(iter(batches.read_once(inputs, features.BATCH_SIZE)))
            arch.shared.prefixes[half] = prefixes_of(backbone, cuts, first, arch.config.model)
    return arch.shared.prefixes[half]


def kept(arch: Architecture, this_pass: Pass, how: Training) -> dict[str, Kept]:
    """Returns the activations by name of the cut; runs the pass if the store lacks some of them."""
    arch_prefixes = prefixes(arch, this_pass.half)
    with arch.run.timed("features"), _as_before_training(arch):
        examples = _pass_examples(arch, this_pass, how)
        begin = functools.partial(_prepare, arch, this_pass)
        return features.compute(arch_prefixes, this_pass.names, examples, arch.config.cache, begin)


def _pass_examples(arch: Architecture, this_pass: Pass, how: Training) -> PassExamples:
    source = arch.data.source
    inputs = source.inputs[this_pass.split]
    examples = features.unaugmented(inputs, source.dataset, this_pass.split, arch.config)
    if this_pass.view is None:
        return examples
    return features.viewed(examples, inputs, how, this_pass.view)


@contextmanager
def _as_before_training(arch: Architecture) -> Iterator[None]:
    """Gives the architecture's models their initial weights inside a `with` block.

    At its end, the models get their current weights back. The prefixes share the models' layers,
    and a training with fewer frozen layers may have changed layers of a longer prefix.
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
    """Writes everything that the pass `this_pass` needs to the run's folder of passes."""
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
    """Returns the architecture's config, but with the augmentations of the run's config.

    Trials of the same architecture may differ in these settings.
    """
    config, settings = arch.config, arch.run.config.settings
    names = part(config.modality, "config").OF_THE_VIEWS
    return config.with_settings(**{name: getattr(settings, name) for name in names})


def run_job(waiting: Run) -> None:
    """Runs the forward pass that a prepared folder describes, and stores its activations.

    Raises:
      ValueError: examples or weights have changed since the folder was prepared.
    """
    config, needs = waiting.config, job.needs(waiting)
    this_pass = Pass(needs["names"], needs["split"], needs["view"], needs["half"])
    data = _data(config, this_pass, needs["whole"], needs["taught"])
    backbone = models.pretrained(config.model, config.settings)
    arch = architecture(waiting, config, data, backbone, needs["cuts"])
    arch_prefixes, how = prefixes(arch, this_pass.half), reading(config, data.dataset)
    with waiting.timed("features"):
        examples = _pass_examples(arch, this_pass, how)
        keys = [
            request.name for request in features.requests(arch_prefixes, this_pass.names, examples)
        ]
        if keys != needs["keys"]:
            raise ValueError(
                f"data: the {config.nouns[1]} or the weights have changed since this job was "
                "prepared; restore them, or start the whole run again in another --workdir"
            )
        computed = features.compute(arch_prefixes, this_pass.names, examples, config.cache)
    sizes = {name: stored.array.nbytes for name, stored in computed.items()}
    waiting.finish(waiting.outcome(activation_bytes=sizes))


def _data(config: RunConfig, this_pass: Pass, whole: bool, taught: dict | None) -> Data:
    """Reads the data of a pass: its split, and also train, to measure the prefixes' times."""
    dataset = load(config)
    if whole:
        dataset = dataset.pooled()
    if taught is not None:
        dataset = with_taught(dataset, config, taught)
    return prepared(dataset, config, sorted({"train", this_pass.split}))
