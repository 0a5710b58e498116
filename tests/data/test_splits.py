import hashlib
import random
import time

import numpy as np
import pytest

from tl_keras.config.data import DataConfig
from tl_keras.data.examples import SPLITS, Example
from tl_keras.data.splits import carve, folds, parted


def example(file, label=0, content=None):
    return Example(file, label, hashlib.sha256((content or file).encode()).hexdigest())


def examples(count, label=0, name="x"):
    return [example(f"{name}{label}/{i:04d}.png", label) for i in range(count)]


def carved(train, groups=None, given_val=(), given_test=(), **fields):
    splits = {"train": list(train), "val": list(given_val), "test": list(given_test)}
    return carve(splits, groups or {}, DataConfig(path="/data", **fields))


def counts(splits, label=0):
    return tuple(sum(e.label == label for e in splits[name]) for name in SPLITS)


def place(splits):
    return {e.file: name for name in SPLITS for e in splits[name]}


def contents(splits):
    return {name: sorted(e.digest for e in splits[name]) for name in SPLITS}


@pytest.mark.parametrize(
    "count, val, test, expected",
    [
        (100, 0.15, 0.15, (70, 15, 15)),
        (1000, 0.2, 0.1, (700, 200, 100)),
        (100, 0.4, 0.5, (10, 40, 50)),  # Both are shares of all examples.
        (40, 0.25, 0.0, (30, 10, 0)),
        (3, 0.15, 0.15, (1, 1, 1)),  # Each has at least one.
    ],
)
def test_shares_are_exact_by_class(count, val, test, expected):
    train = [e for label in range(3) for e in examples(count, label)]
    splits = carved(train, val=val, test=test)
    for label in range(3):
        assert counts(splits, label) == expected
    assert sorted(e.file for name in SPLITS for e in splits[name]) == sorted(e.file for e in train)


def test_carving_is_by_content_not_by_name_or_order():
    train = [e for label in range(2) for e in examples(60, label)]
    shuffled = random.Random(0).sample(train, len(train))
    renamed = [Example(f"{i}.png", e.label, e.digest) for i, e in enumerate(shuffled)]
    assert contents(carved(renamed)) == contents(carved(train))
    groups = {e.file: f"{i % 7}" for i, e in enumerate(train)}
    other_groups = {f"{i}.png": groups[e.file] for i, e in enumerate(shuffled)}
    assert contents(carved(renamed, other_groups)) == contents(carved(train, groups))


def test_splits_depend_on_the_seed():
    train = examples(100)
    assert carved(train, split_seed=3) == carved(train, split_seed=3)
    first, other = carved(train), carved(train, split_seed=1)
    assert counts(first) == counts(other) == (70, 15, 15)
    shared = {e.file for e in first["test"]} & {e.file for e in other["test"]}
    assert len(shared) < 9  # By chance it would be two of 15.


def test_seeds_choose_all_files_equally_often():
    # With 200 seeds, each of 40 files should be in the test split of 10 about 50 times.
    train = examples(40)
    hits = dict.fromkeys((e.file for e in train), 0)
    for seed in range(200):
        for e in carved(train, test=0.25, split_seed=seed)["test"]:
            hits[e.file] += 1
    # 50 +- 6.1, and five sigma for 40 files.
    assert all(20 <= count <= 80 for count in hits.values()) and sum(hits.values()) == 2000


@pytest.mark.parametrize("count", [20, 50, 99, 100])
def test_an_added_file_moves_at_most_its_neighbours(count):
    before = place(carved(examples(count)))
    for i in range(20):
        after = place(carved([*examples(count), example(f"new{i}.png")]))
        moved = [file for file in before if before[file] != after[file]]
        assert len(moved) <= 2  # One moves between test and val, and one between val and train.


def test_an_added_file_of_another_class_moves_nothing():
    train = examples(50, 0) + examples(50, 1)
    before, after = place(carved(train)), place(carved(train + examples(7, 1, "new")))
    assert all(before[e.file] == after[e.file] for e in train if e.label == 0)


def test_given_splits_are_left_alone():
    train, val, test = examples(20), examples(5, 0, "v"), examples(4, 0, "t")
    splits = carved(train, given_val=val, given_test=test)
    assert files(splits) == files({"train": train, "val": val, "test": test})
    splits = carved(train, given_val=val)
    assert files(splits)["val"] == files({"val": val})["val"] and counts(splits) == (17, 5, 3)
    splits = carved(train, given_test=test)
    assert files(splits)["test"] == files({"test": test})["test"] and counts(splits) == (17, 3, 4)


def files(splits) -> dict[str, list[str]]:
    return {name: [example.file for example in splits.get(name, ())] for name in SPLITS}


def test_folds_keep_units_together_and_balance_classes():
    copies = [example(f"copy{i}.png", 0, f"x0/{i:04d}.png") for i in range(15)]
    pooled = carved(examples(40) + examples(20, 1, "y") + copies, test=0)["train"]
    found = folds(pooled, 4, 0)
    assert sorted(np.concatenate(found)) == list(range(len(pooled)))
    for rows in found:
        inside = {pooled[i].unit for i in rows}
        outside = {pooled[i].unit for i in range(len(pooled)) if i not in rows}
        assert not inside & outside
        shares = np.bincount([pooled[i].label for i in rows], minlength=2) / len(rows)
        overall = np.bincount([e.label for e in pooled]) / len(pooled)
        np.testing.assert_allclose(shares, overall, atol=0.15)


def test_parted_keeps_a_class_of_one_unit_in_train():
    pooled = carved(examples(20) + examples(4, 1, "y"), test=0)["train"]
    one = next(e for e in pooled if e.label == 1)
    few = [e for e in pooled if e.label == 0] + [one]
    train, val = parted(few, 0.3, "any")
    assert sorted([*train, *val]) == list(range(len(few)))
    assert [few[i].label for i in val] == [0] * len(val) and len(val) > 0
    assert [list(part) for part in parted(few, 0.3, "any")] == [list(train), list(val)]
    assert list(parted(few, 0.3, "other")[1]) != list(val)


def test_same_content_stays_together():
    train = examples(30) + [example(f"copy{i}.png", 0, f"x0/{i:04d}.png") for i in range(15)]
    for seed in range(20):
        placed = place(carved(train, split_seed=seed))
        assert all(placed[f"copy{i}.png"] == placed[f"x0/{i:04d}.png"] for i in range(15))


def test_a_group_never_spans_two_splits():
    train = [e for label in range(2) for e in examples(60, label)]
    # Groups of unequal sizes, some with both classes.
    groups = {e.file: f"g{(i * i) % 23}" for i, e in enumerate(train) if i % 5}
    for seed in range(20):
        splits = carved(train, groups, split_seed=seed)
        placed = place(splits)
        for group in set(groups.values()):
            assert len({placed[file] for file in groups if groups[file] == group}) == 1
        assert min(counts(splits, 0) + counts(splits, 1)) > 0


def test_a_chain_of_groups_and_copies_stays_together():
    # a and b are a group, b and c are copies, c and d are another group.
    chain = [example("a"), example("b", 0, "same"), example("c", 0, "same"), example("d")]
    groups = {"a": "1", "b": "1", "c": "2", "d": "2"}
    for seed in range(10):
        placed = place(carved(examples(40) + chain, groups, split_seed=seed))
        assert len({placed[name] for name in "abcd"}) == 1


def test_shares_are_nearly_exact_with_groups():
    train = examples(300)
    groups = {e.file: f"{i // 3}" for i, e in enumerate(train)}
    assert counts(carved(train, groups, val=0.2, test=0.1)) == (210, 60, 30)


@pytest.mark.parametrize("per_class, expected", [(20, (17, 3)), (10, (8, 2)), (2, (1, 1))])
def test_examples_per_class_caps_train_and_val_together(per_class, expected):
    train = [e for label in range(2) for e in examples(100, label)]
    splits = carved(train, examples_per_class=per_class)
    for label in range(2):
        assert counts(splits, label) == (*expected, 15)
    # The test split is carved from all examples, so that learning curves share it.
    assert splits["test"] == carved(train)["test"]


def test_examples_per_class_are_nested():
    train = examples(100)
    kept = [
        {e.file for name in ("train", "val") for e in splits[name]}
        for splits in (carved(train, examples_per_class=n) for n in (5, 10, 20, 1000))
    ]
    assert kept[0] < kept[1] < kept[2] < kept[3]
    assert [len(files) for files in kept] == [5, 10, 20, 85]


def test_examples_per_class_is_never_exceeded_by_groups():
    train = examples(100)
    groups = {e.file: f"{i // 4}" for i, e in enumerate(train)}
    splits = carved(train, groups, examples_per_class=10)
    assert counts(splits)[0] + counts(splits)[1] == 8


def test_examples_per_class_includes_a_given_val():
    train, val = examples(100), examples(8, 0, "v")
    splits = carved(train, given_val=val, examples_per_class=20, test=0.0)
    assert files(splits)["val"] == files({"val": val})["val"] and counts(splits) == (12, 8, 0)
    with pytest.raises(
        ValueError, match="data.examples_per_class: .* 8 examples .*val alone has 8 of a class"
    ):
        carved(train, given_val=val, examples_per_class=8)


def test_splits_are_sorted_by_file_name():
    train = random.Random(0).sample(examples(50), 50)
    for split in carved(train).values():
        assert [e.file for e in split] == sorted(e.file for e in split)


def test_a_large_group_is_fast():
    train = examples(20_000)
    groups = {e.file: "all" if i % 2 else f"{i}" for i, e in enumerate(train)}
    started = time.monotonic()
    carved(train, groups)
    assert time.monotonic() - started < 5  # Takes 0.2 s; minutes without path halving.
