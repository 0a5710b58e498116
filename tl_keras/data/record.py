"""Writes a run's `data.json`: the class names, and for each split its files and their SHA-256."""

import json
from collections.abc import Sequence
from typing import Any

from absl import logging

from tl_keras import tasks
from tl_keras.config import space
from tl_keras.config.model import ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data import changed_since
from tl_keras.data.examples import SPLITS, Dataset, Example
from tl_keras.data.wording import number_of
from tl_keras.modalities import nouns, part
from tl_keras.run.files import write_json
from tl_keras.run.lineage import learned_without_labels, trained_before
from tl_keras.run.result.training import Counts
from tl_keras.run.run import Run


def write(run: Run, dataset: Dataset) -> None:
    """Writes a run's `data.json`, and adds the numbers of examples to its `result.json`.

    Raises:
      ValueError: the data or the vocabulary of texts have changed since the run started, or the
        run's initial weights were trained on examples of the validation or test set.
    """
    file = run.workdir / "data.json"
    old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if old and old["fingerprint"] != dataset.fingerprint:
        changed = changed_since.since(run.config, old)
        raise ValueError(
            f"data: the {dataset.nouns[1]} have changed since the run in {str(run.workdir)!r} "
            f"started{f' ({changed})' if changed else ''}; restore them, or choose another "
            "--workdir"
        )
    configs = [*space.first_trials(run.config)]
    if run.config.parallel.student is not None:
        configs.append(run.config.of_students)
    preparation = _preparation(run, configs, old.get("preparation", []))
    warnings = [line for config in configs for line in refuse_leaks(dataset, config.model)]
    warnings = list(dict.fromkeys(warnings))
    for line in warnings:
        logging.warning("data: %s", line)
    write_json(file, {**_content(dataset, old, warnings), "preparation": preparation})
    counts = {name: len(dataset.splits[name]) for name in SPLITS}
    run.add(
        data=Counts(classes=len(dataset.classes), **counts, quarantined=len(dataset.quarantined))
    )


def _preparation(
    run: Run, configs: Sequence[RunConfig], earlier: Sequence[dict[str, str]]
) -> list[dict[str, str]]:
    """Returns the digests of files that the preparation of examples needs, for each config.

    Args:
      earlier: the digests when the run started; may be empty.

    Raises:
      ValueError: such a file has changed since the run started.
    """
    digests = [part(c.modality, "prepare").unchanging(c.settings) for c in configs]
    for config, now, before in zip(configs, digests, earlier, strict=False):
        for name in now:
            if before.get(name, now[name]) != now[name]:
                raise ValueError(
                    f"{config.modality}.{name}: {getattr(config.settings, name)!r} has changed "
                    f"since the run in {str(run.workdir)!r} started; restore it, or choose another "
                    "--workdir"
                )
    return digests


def _content(dataset: Dataset, old: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """Returns the content of `data.json`.

    Args:
      old: the content that the file has already; {} if there is none.
      warnings: warnings besides those of the data set.
    """
    return {
        "root": None if dataset.root is None else str(dataset.root),
        "classes": list(dataset.classes),
        "splits": {name: [example.file for example in dataset.splits[name]] for name in SPLITS},
        "digests": {
            # Includes digests of examples in no split, see `add_digests`.
            **old.get("digests", {}),
            **{name: [example.digest for example in dataset.splits[name]] for name in SPLITS},
        },
        "answers": {name: _counts(dataset, name) for name in SPLITS},
        "quarantined": [
            {"file": entry.file, "reason": entry.reason} for entry in dataset.quarantined
        ],
        "warnings": [*dataset.warnings, *warnings],
        "notes": dataset.notes,
        "omitted": dataset.omitted,
        "listed": {**old.get("listed", {}), **dataset.listed},  # Includes entries of `add_digests`.
        "fingerprint": dataset.fingerprint,
        **({"objective": dataset.objective} if dataset.objective else {}),
    }


def _counts(dataset: Dataset, split: str) -> dict[str, int]:
    """Returns the number of examples of each class; empty for tasks without classes."""
    labels_of = tasks.maybe(dataset.task, "labels")
    if labels_of is None or not dataset.classes:
        return {}
    counts = labels_of.counts(dataset.labels(split), dataset.classes)
    return dict(zip(dataset.classes, counts.tolist(), strict=True))


def add_digests(
    run: Run, name: str, examples: Sequence[Example], listed: str | None = None
) -> None:
    """Adds the SHA-256 of further training examples, which are in no split, to `data.json`.

    The command `parallel` trains on such examples: those that a teacher model labels.

    Args:
      name: the field of `digests` in `data.json` that receives them.
      listed: the stamp of the folder of these examples, see `changed_since.stamp`.

    Raises:
      ValueError: these examples have changed since the run started.
    """
    file = run.workdir / "data.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    digests = [example.digest for example in examples]
    if name not in content["digests"]:
        content["digests"][name] = digests
        content["listed"] |= {name: listed} if listed else {}
        write_json(file, content)
    elif content["digests"][name] != digests:
        raise ValueError(
            f"data.{name}: the {nouns(run.config.modality)[1]} have changed since the run in "
            f"{str(run.workdir)!r} started; restore them, or choose another --workdir"
        )


FEW_KNOWN = 0.01  # Largest share of test examples that weights may know without their labels.


def refuse_leaks(dataset: Dataset, config: ModelConfig) -> list[str]:
    """Checks that the initial weights were not trained on validation or test examples.

    Weights that were trained without labels may have seen the validation examples, because all
    candidates that these examples compare start from the same weights.

    Returns:
      Warnings: weights that were trained without labels have seen at most the share `FEW_KNOWN` of
      the test examples, or examples of the folds.

    Raises:
      ValueError: such an example is among the training examples of a run that the weights come
        from, directly or through runs that started from the weights of earlier runs.
    """
    field, warnings = "model.backbone" if config.weights == "own" else "model.weights", []
    for source, trained in trained_before(config):
        has_labels = not learned_without_labels(source)
        measured = ["train" if dataset.whole else "val", "test"]
        if not has_labels and not dataset.whole:
            measured = ["test"]
        held_out = {e.digest: e.file for name in measured for e in dataset.splits[name]}
        leaked = [held_out[digest] for digest in trained if digest in held_out]
        where = " and ".join(measured).replace("train", "the folds")
        may_know = 0 if has_labels else len(held_out) * (1 if dataset.whole else FEW_KNOWN)
        if 0 < len(leaked) <= may_know:
            warnings.append(
                f"{number_of(len(leaked), *dataset.nouns)} of {where}, such as {leaked[0]!r}, "
                f"{'was' if len(leaked) == 1 else 'were'} among the examples without labels of the "
                f"run in {str(source)!r}, so the scores may be slightly too good"
            )
        elif leaked:
            raise ValueError(
                f"{field}: the model of the run in {str(source)!r} was trained on "
                f"{number_of(len(leaked), *dataset.nouns)} of {where}, such as {leaked[0]!r}, so "
                f"the scores would be too good; {_remedy(dataset.nouns[1], has_labels)}"
            )
    return warnings


def _remedy(several: str, has_labels: bool) -> str:
    """Returns what to do about examples that the weights know, as the end of a message."""
    if not has_labels:
        return (
            f"mark these {several} as test in the data of that run too (with a folder test/ or a "
            "column 'split'), where they are then left out, or choose other weights"
        )
    return (
        f"put these {several} into train (with folders train/, val/ and test/, or a column 'split' "
        "in a table), use the splits of that run, or choose other weights"
    )
