"""Messages about data that cannot be trained on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tl_keras import modalities, tasks
from tl_keras.config.data import DataConfig
from tl_keras.config.messages import with_article
from tl_keras.config.whole import RunConfig
from tl_keras.data import contents, label_names
from tl_keras.data.examples import SPLITS, Example, Quarantined
from tl_keras.data.splits import Splits
from tl_keras.data.wording import left_out, number_of, place_of, shortened


def of_files(bad: Sequence[Quarantined], num_good: int, config: DataConfig) -> Iterator[str]:
    """Yields a message if too many files cannot be used."""
    counted = [entry for entry in bad if entry.is_bad]
    total = num_good + len(counted)
    if len(counted) > config.max_bad_share * total:
        place = place_of(entry.file for entry in counted)
        yield (
            f"data.max_bad_share: {len(counted)} of {total} {place}s cannot be used, "
            f"more than the share {config.max_bad_share}; {'; '.join(left_out(counted)[:3])}; "
            f"repair or remove these {place}s, or raise data.max_bad_share"
        )


def of_splits(
    splits: Splits,
    answers: Sequence[str],
    config: RunConfig,
    given: Collection[str] = (),
    bad: Mapping[str, Sequence[Quarantined]] | None = None,
) -> Iterator[str]:
    """Yields messages about splits that are empty or lack a class.

    If the data have no examples for train, the only message says so. Otherwise, there is one
    message for each of train and val in which a class has no examples, and one if `data.test` asks
    for test examples but none are left.

    Args:
      answers: the names of the classes; empty for tasks such as regression, whose answers have no
        names.
      given: which of val and test the data source provides; the others are carved from train.
      bad: a dict from each label to its files that cannot be used.
    """
    noun, nouns = modalities.nouns(config.modality)
    one, many = tasks.of(config.task, "names").NOUNS
    # Without splits of its own, a data set lacks train because each class is too small.
    too_small = bool(answers) and not given and any(splits.values())
    if not splits["train"] and not too_small:
        of_each = f" of each {one}" if answers else ""
        yield (
            f"data: train has no readable {noun}; expected {nouns}{of_each} in train/, or CSV rows "
            "whose split is train"
        )
        return
    partners = label_names.partners(answers)
    for split in ("train", "val"):
        missing = _missing(splits[split], answers, config.task)
        if not missing:
            continue
        first, text = missing[0], tasks.of(config.task, "targets").text
        total = sum(text(e.label, answers) == first for name in SPLITS for e in splits[name])
        if first in partners:
            partner = label_names.quoted(partners[first])
            advice = f"{partner} is nearly the same name; use one name for both"
        else:
            advice = _advice(one, total, split if given else "", (bad or {}).get(first, ()))
        count = number_of(total, f"readable {noun}", f"readable {nouns}")
        where = f"{count}, but none in {split}" if total else f"no readable {noun}"
        others = len(missing) - 1
        same = (
            f"; {others} other {f'{many} have' if others > 1 else f'{one} has'} the same problem"
            if others
            else ""
        )
        yield f"data: {one} {label_names.quoted(first)} has {where}; {advice}{same}"
    if not splits["test"] and config.data.test > 0:
        yield f"data.test: no {nouns} are left for test; add {nouns}, or set data.test to 0"


def _advice(noun: str, total: int, given: str, bad: Sequence[Quarantined]) -> str:
    """Returns what a user can do about a class that lacks examples in a split.

    Args:
      noun: the word of the task for one class, such as `class`.
      total: the number of examples of the class in all splits.
      given: the split that lacks the class, if the data source provides val or test; "" if both
        are carved from train.
      bad: the files of the class that cannot be used.
    """
    if not total:
        lines = "".join(f"{line}; " for line in left_out(bad)[:1])
        place = place_of(entry.file for entry in bad)
        return f"{lines}repair the {place}s of this {noun}, or remove the {noun}"
    if given:
        return f"move some of these into {given}, or remove the {noun}"
    return (
        f"{with_article(noun)} needs at least three independent examples, one each for train, val "
        "and test (equal files, near-duplicates and the files of a group count as one); add "
        f"examples, remove the {noun}, or, if most examples go to val and test, lower data.val and "
        "data.test"
    )


def how_to_group(root: Path) -> str:
    """Returns what a user can do to keep examples together; `root` is that of the examples."""
    if contents.find_table(root):
        return "add a column 'group' to the table"
    return "list the files in a CSV with a column 'group'"


def _missing(examples: Sequence[Example], answers: Sequence[str], task: str) -> list[str]:
    targets = tasks.of(task, "targets")
    labels = np.array([example.label for example in examples], targets.DTYPE)
    return targets.missing(labels, answers)


def missing_in_test(splits: Splits, answers: Sequence[str], config: RunConfig) -> list[str]:
    """Returns a warning if the test split lacks examples of some classes."""
    missing = _missing(splits["test"], answers, config.task)
    if not splits["test"] or not missing:
        return []
    noun = modalities.nouns(config.modality)[0]
    return [f"test has no {noun} of {shortened(missing)}, so test scores do not cover them"]
