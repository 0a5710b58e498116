"""Loads the examples of `data.unlabelled`, which a teacher model labels.

They are the files of a folder of any layout, the cells of a table, or the examples that
`data.examples_per_class` leaves out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data import changed_since, check_files, store
from tl_keras.data.examples import SPLITS, Dataset, Example, Quarantined
from tl_keras.data.sources.of_files import list_unlabelled
from tl_keras.data.wording import count_of_examples, left_out
from tl_keras.modalities import nouns

UNKNOWN = -1  # The label of an example without a known label.


@dataclass(frozen=True)
class Unlabelled:
    """Readable examples whose content is in no split.

    Attributes:
      examples: the examples. If `data.unlabelled` is a folder, only the first of files with equal
        content is among them, and the label of a file is the class that its own folder is named
        after, or `UNKNOWN` if this folder is not named after a class of the model. The label of a
        cell is the label in its row, or `UNKNOWN`.
      quarantined: the files that cannot be used.
      warnings: sentences about files that are left out for another reason, such as copies.
      listed: the stamp of the folder `data.unlabelled`, see `changed_since.stamp`; None if
        `data.unlabelled` is `rest`.
    """

    examples: list[Example]
    quarantined: list[Quarantined]
    warnings: list[str]
    listed: str | None = None


def load(config: RunConfig, dataset: Dataset) -> Unlabelled:
    """Returns the examples of `data.unlabelled`.

    Their labels, if known, serve for training only if `parallel.labels` is `own`.

    Raises:
      ValueError: none of the examples can be used.
    """
    data = config.data
    if data.unlabelled == "rest":
        if not dataset.splits["rest"]:
            raise ValueError(
                "data.unlabelled: 'rest' means the examples that data.examples_per_class leaves "
                "out, but this limit leaves out none; set a lower data.examples_per_class, or set "
                "data.unlabelled to a folder"
            )
        return Unlabelled(dataset.splits["rest"], [], [])
    if dataset.root is None:
        raise ValueError(
            f"data.unlabelled: a folder cannot be used with data.source {data.source!r}, which "
            "generates its examples; expected 'rest'"
        )
    listing = list_unlabelled(Path(data.unlabelled), config, "data.unlabelled")
    root = listing.root
    names = [listed.file for listed in listing.files]
    cache_folder = store.subfolder(config.cache, store.AUDIT)
    checked = check_files.check_all(root, names, config.settings, cache_folder)
    seen = {example.digest for split in SPLITS for example in dataset.splits[split]}
    examples, copies = [], []
    quarantined = list(listing.quarantined)
    code = tasks.of(config.task, "other_data").coded(dataset.classes, {})
    for listed in listing.files:
        file = checked[listed.file]
        if file.reason:
            quarantined.append(Quarantined(listed.file, file.reason))
        elif file.digest in seen:
            copies.append(listed.file)
        else:
            seen.add(file.digest)
            label = code(listed.label or Path(listed.file).parent.name)
            label = UNKNOWN if label is None else label
            name = str(root.absolute() / listed.file)
            examples.append(Example(name, label, file.digest, checked=file))
    if not examples:
        noun = nouns(config.modality)[0]
        reason = "".join(f"; {line}" for line in left_out(quarantined)[:1])
        raise ValueError(
            f"data.unlabelled: {str(root)!r} has no readable {noun} that is not already in the "
            f"labelled data{reason}"
        )
    warnings = []
    if copies:
        warnings.append(
            f"{count_of_examples(copies)} of data.unlabelled left out, because the same "
            "content is in the labelled data or occurs twice"
        )
    return Unlabelled(examples, quarantined, warnings, changed_since.stamp(listing))


def with_taught(
    dataset: Dataset, config: RunConfig, teacher_labels: Mapping[str, Sequence[Sequence[Any]]]
) -> Dataset:
    """Returns a copy of the data set whose splits also have the teacher-labelled examples.

    Each split lists first the examples that people labelled, then those that the teacher labelled.
    The split test is empty.

    Args:
      teacher_labels: for each split, `(file, digest, label)` of each example that the teacher
        labelled.

    Raises:
      ValueError: one of these files is missing or has changed.
    """
    known = {example.file: example for example in load(config, dataset).examples}
    splits: dict[str, list[Example]] = {"test": []}
    for split, rows in teacher_labels.items():
        splits[split] = list(dataset.splits[split])
        for file, digest, label in rows:
            example = known.get(file)
            if example is None or example.digest != digest:
                raise ValueError(
                    f"data.unlabelled: {file!r} has changed since the teacher labelled it; restore "
                    "the file, or start again in another --workdir"
                )
            splits[split].append(replace(example, label=label))
    return replace(dataset, splits=splits)
