"""Why data cannot be trained on, in words for the person whose data they are."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from tl_keras import modalities, tasks
from tl_keras.config.data import DataConfig
from tl_keras.config.messages import with_article
from tl_keras.config.whole import RunConfig
from tl_keras.data import label_names
from tl_keras.data.examples import SPLITS, Example, Quarantined
from tl_keras.data.splits import Splits
from tl_keras.data.wording import left_out, shortened


def of_files(bad: Sequence[Quarantined], num_good: int, config: DataConfig) -> Iterator[str]:
    """What is wrong with the files as a whole."""
    counted = [entry for entry in bad if entry.is_bad]
    total = num_good + len(counted)
    if len(counted) > config.max_bad_share * total:
        yield (
            f"data.max_bad_share: {len(counted)} of {total} files cannot be used, "
            f"more than the share {config.max_bad_share}; {'; '.join(left_out(counted)[:3])}; mend "
            "or remove them, or raise data.max_bad_share"
        )


def of_splits(
    splits: Splits,
    answers: Sequence[str],
    config: RunConfig,
    given: Collection[str] = (),
    bad: Mapping[str, Sequence[Quarantined]] | None = None,
) -> Iterator[str]:
    """What is missing in train and val, the only splits that a training needs.

    Args:
      answers: their names, such as the classes; none where answers have no names.
      given: splits that the data themselves have; others are carved from train.
      bad: by label, its files that cannot be used.
    """
    noun, nouns = modalities.nouns(config.modality)
    one, many = tasks.of(config.task, "names").NOUNS
    if not splits["train"]:
        of_each = f" of each {one}" if answers else ""
        yield (
            f"data: train has no readable {noun}; expected some{of_each}, in train/ or in rows "
            "whose split is train"
        )
        return
    partners = label_names.partners(answers)
    for split in ("train", "val"):
        missing = _missing(splits[split], answers, config.task)
        if not missing:
            continue
        first, text = missing[0], tasks.of(config.task, "targets").text
        total = sum(text(e.label, answers) == first for own in SPLITS for e in splits[own])
        if first in partners:
            advice = (
                f"{label_names.quoted(partners[first])} is nearly the same name: use one for both"
            )
        else:
            advice = _advice(one, total, split if given else "", (bad or {}).get(first, ()))
        others = f"; so have {len(missing) - 1} other {many}" if len(missing) > 1 else ""
        yield (
            f"data: {one} {label_names.quoted(first)} has {total} readable {nouns} and none in "
            f"{split}; {advice}{others}"
        )
    if not splits["test"] and config.data.test > 0:
        yield f"data.test: nothing is left for test; add {nouns} or write test: 0"


def _advice(noun: str, total: int, given: str, bad: Sequence[Quarantined]) -> str:
    """What to do about an answer that a split lacks.

    Args:
      noun: what an answer is called.
      total: its examples in all splits.
      given: the split, where the data themselves have it.
      bad: files of this answer that cannot be used.
    """
    if not total:
        lines = "".join(f"{line}; " for line in left_out(bad)[:1])
        return f"{lines}mend its files, or remove the {noun}"
    if given:
        return f"put some into {given}, or remove the {noun}"
    return (
        f"{with_article(noun)} needs three that are independent, for train, val and test (copies "
        f"and groups count as one): add some, remove the {noun}, or lower data.val and data.test"
    )


def _missing(examples: Sequence[Example], answers: Sequence[str], task: str) -> list[str]:
    targets = tasks.of(task, "targets")
    labels = np.array([example.label for example in examples], targets.DTYPE)
    return targets.missing(labels, answers)


def missing_in_test(splits: Splits, answers: Sequence[str], config: RunConfig) -> list[str]:
    """A warning of answers that a test split lacks; nothing where there is no such split."""
    missing = _missing(splits["test"], answers, config.task)
    if not splits["test"] or not missing:
        return []
    noun = modalities.nouns(config.modality)[0]
    return [f"test has no {noun} of {shortened(missing)}: its scores say nothing about that"]
