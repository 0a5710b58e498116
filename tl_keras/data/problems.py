"""Why data cannot be trained on, in words for the person whose data they are."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from tl_keras.config.data import DataConfig
from tl_keras.data import names
from tl_keras.data.examples import SPLITS, Quarantined
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
    classes: Sequence[str],
    config: DataConfig,
    given: Collection[str] = (),
    bad: Mapping[str, Sequence[Quarantined]] | None = None,
) -> Iterator[str]:
    """What is missing in train and val, the only splits that a training needs.

    Args:
      given: splits that the data themselves have; others are carved from train.
      bad: by class, its files that cannot be used.
    """
    if not splits["train"]:
        yield (
            "data: train has no readable image; expected some of each class, in train/ or in rows "
            "whose split is train"
        )
        return
    partners = names.partners(classes)
    for split in ("train", "val"):
        present = {example.label for example in splits[split]}
        missing = [label for label, _ in enumerate(classes) if label not in present]
        if not missing:
            continue
        first = classes[missing[0]]
        total = sum(example.label == missing[0] for own in SPLITS for example in splits[own])
        if first in partners:
            advice = f"{names.quoted(partners[first])} is nearly the same name: use one for both"
        elif not total:
            lines = "".join(f"{line}; " for line in left_out((bad or {}).get(first, ()))[:1])
            advice = f"{lines}mend its files, or remove the class"
        elif given:
            advice = f"put some into {split}, or remove the class"
        else:
            advice = (
                "a class needs three that may be parted (train, val and test): add some, remove "
                "the class, or lower data.val and data.test"
            )
        others = f"; so have {len(missing) - 1} other classes" if len(missing) > 1 else ""
        yield (
            f"data: class {names.quoted(first)} has {total} readable images and none in {split}; "
            f"{advice}{others}"
        )
    if not splits["test"] and config.test > 0:
        yield "data.test: nothing is left for test; add images or write test: 0"


def missing_in_test(splits: Splits, classes: Sequence[str]) -> list[str]:
    """A warning of classes that a test split lacks; nothing where there is no such split."""
    present = {example.label for example in splits["test"]}
    missing = [name for label, name in enumerate(classes) if label not in present]
    if not present or not missing:
        return []
    return [f"test has no image of {shortened(missing)}: its scores say nothing about that"]
