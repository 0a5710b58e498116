"""Examples for a teacher to label: a folder of any layout, or what is left of the source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data import changed_since, check_files, store
from tl_keras.data.examples import SPLITS, Dataset, Example, Quarantined
from tl_keras.data.sources import folders
from tl_keras.data.wording import left_out
from tl_keras.modalities import nouns

UNKNOWN = -1  # The label of an example whose label nobody knows.


@dataclass(frozen=True)
class Unlabelled:
    """Readable examples that are in no split, by content.

    Attributes:
      examples: those of a folder each once; their label is that of their own folder, where the
        model could answer with that, else `UNKNOWN`.
      quarantined: what cannot be read.
      warnings: what is left out for another reason.
      listed: `changed_since.stamp` of the folder; None where there is none.
    """

    examples: list[Example]
    quarantined: list[Quarantined]
    warnings: list[str]
    listed: str | None = None


def load(config: RunConfig, dataset: Dataset) -> Unlabelled:
    """The examples of `data.unlabelled`. No label of theirs is used unless it is asked for.

    Raises:
      ValueError: there are none.
    """
    data = config.data
    if data.unlabelled == "rest":
        if not dataset.splits["rest"]:
            raise ValueError(
                "data.unlabelled: rest is what data.examples_per_class leaves out, and it leaves "
                "nothing; expected a lower data.examples_per_class, or a folder"
            )
        return Unlabelled(dataset.splits["rest"], [], [])
    if dataset.root is None:
        raise ValueError(
            f"data.unlabelled: files do not go with the embedded data.source {data.source!r}; "
            "expected rest"
        )
    listing = folders.list_unlabelled(Path(data.unlabelled))
    root = listing.root
    names = [listed.file for listed in listing.files]
    memory = store.subfolder(config.cache, store.AUDIT)
    checked = check_files.check_all(root, names, config.settings, memory)
    seen = {example.digest for split in SPLITS for example in dataset.splits[split]}
    found, num_copies = [], 0
    quarantined = list(listing.quarantined)
    code = tasks.of(config.task, "other_data").coded(dataset.classes, {})
    for listed in listing.files:
        file = checked[listed.file]
        if file.reason:
            quarantined.append(Quarantined(listed.file, file.reason))
        elif file.digest in seen:
            num_copies += 1
        else:
            seen.add(file.digest)
            label = code(Path(listed.file).parent.name)
            label = UNKNOWN if label is None else label
            name = str(root.absolute() / listed.file)
            found.append(Example(name, label, file.digest, checked=file))
    if not found:
        noun = nouns(config.modality)[0]
        first = "".join(f"; {line}" for line in left_out(quarantined)[:1])
        raise ValueError(
            f"data.unlabelled: {str(root)!r} has no readable {noun} that is not labelled{first}"
        )
    warnings = []
    if num_copies:
        warnings.append(
            f"{num_copies} of data.unlabelled are copies of others, or labelled, and left out"
        )
    return Unlabelled(found, quarantined, warnings, changed_since.stamp(listing))


def with_taught(
    dataset: Dataset, config: RunConfig, taught: Mapping[str, Sequence[Sequence[Any]]]
) -> Dataset:
    """The labelled examples, and after them those that a teacher labelled.

    Args:
      taught: by split, file, digest and label of each of the latter.

    Raises:
      ValueError: one of them is not there any more, or another one by now.
    """
    known = {example.file: example for example in load(config, dataset).examples}
    splits: dict[str, list[Example]] = {"test": []}
    for split, rows in taught.items():
        splits[split] = list(dataset.splits[split])
        for file, digest, label in rows:
            example = known.get(file)
            if example is None or example.digest != digest:
                raise ValueError(
                    f"data.unlabelled: {file!r} is not what the teacher labelled; restore it, or "
                    "start the whole run again in another --workdir"
                )
            splits[split].append(replace(example, label=label))
    return replace(dataset, splits=splits)
