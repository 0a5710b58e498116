"""Whole commands work at both ends of every documented range of a config's fields.

One run of a few seconds tests many fields at once, see `ROWS`.
"""

import pytest

import tl_keras

STRONGEST = [
    *({"flip": "both"}, {"rotation": 0.5}, {"zoom": 0.99}, {"translation": 0.99}),
    *({"contrast": 0.99}, {"brightness": 0.99}, {"color": 1.0}, {"erasing": 1.0}),
    *({"rand_augment": {"layers": 6, "magnitude": 1.0}}, {"mixup": 2.0}),
]
WEAKEST = [{"rotation": 1e-9}, {"zoom": 1e-9}, {"erasing": 0.0}, {"cutmix": 1e-9}]
HEAD_ALONE = {
    "data": {"val": 1e-6, "split_seed": 0, "max_bad_share": 0.0},
    "model": {"dropout": 0.0},
    "fit": {"epochs": 0},
    "export": {"formats": ["int8"], "calibration_examples": 1},
}
LEAST = {
    "data": {"test": 0.0, "examples_per_class": 8, "balance": "weights"},
    "image": {"resize": "crop"},
    "model": {"dropout": 0.0, "head_width": 1},
    "fit": {
        **{"epochs": 1, "batch_size": 1, "learning_rate": 1e-12, "freeze": 0, "weight_decay": 0.0},
        **{"warmup": 0.0, "keep": "best", "patience": 1, "clip_norm": 1e-9, "views": 1},
        **{"minutes": 1e-9, "checkpoint_minutes": 0.0, "choose_by": "accuracy"},
    },
    "export": {"formats": [], "batch": "dynamic"},
}
MOST = {
    "image": {"resize": "pad", "antialias": True},
    "data": {
        **{"val": 0.5, "split_seed": 2**30 - 1, "examples_per_class": 10**6},
        **{"max_bad_share": 1.0, "balance": "oversample"},
    },
    "model": {"dropout": 0.999, "head_width": 4096},
    "fit": {
        **{"epochs": 1, "batch_size": 10**6, "weight_decay": 1e4, "warmup": 0.999, "ema": 0.999},
        **{"keep": "average", "label_smoothing": 0.999, "clip_norm": None, "views": 1000},
        **{"patience": 10**6, "mixed_precision": True, "optimizer": "sgd", "freeze": "relu_1"},
    },
    "export": {
        **{"formats": ["float32"], "calibration_examples": 10**9, "max_accuracy_drop": 1.0},
        **{"abstain": 1e-6, "title": "x" * 5000},
    },
    "seed": 2**30 - 1,
}
ROWS = {"the head alone": HEAD_ALONE, "least": LEAST, "most": MOST}
SMALL = {
    "cross_validate": {"folds": 2},
    "compare": {"approaches": ["head", "finetune"], "learning_curve": False},
    "search": {"space": {"fit.learning_rate": [1e-3, 1e-4]}},
}


def config(base: dict, row: dict, **image) -> dict:
    """Returns the config of a run of a few seconds with the fields of a row."""
    rows = {name: own for name, own in {**SMALL, **row}.items() if name != "seed"}
    tree = {name: {**base.get(name, {}), **fields} for name, fields in rows.items()}
    image = {**base["image"], **tree.get("image", {}), **image}
    return {**base, **tree, "seed": row.get("seed", 0), "image": image}


# Each row is run by each command, with or without augmentation.
COMMANDS = {"finetune": "augmented", "search": "augmented", "cross_validate": "plain"}
CASES = [(row, command, augment) for row in ROWS for command, augment in COMMANDS.items()]


@pytest.mark.parametrize(("row", "command", "augment"), CASES)
def test_both_ends_of_each_range_work(row, command, augment, quick, tmp_path):
    given = {"augment": []} if augment == "plain" else {}
    tree = config(quick, ROWS[row], **given)
    if command == "search":
        tree["search"] = {**tree["search"], "trials": 2}
    if row == "most" and command != "finetune":
        tree["model"]["head_width"] = 64  # The widest head is slow, so only finetune fits it.
    run = getattr(tl_keras, command)(tree, tmp_path / "run")
    assert run.result["val"]["n"] > 0
    if row == "the head alone":
        assert run.result["model"]["kept"] == "head"
        assert run.result["model"]["freeze"] == 1.0


@pytest.mark.parametrize("augment", [STRONGEST, WEAKEST], ids=["strongest", "weakest"])
def test_strongest_and_weakest_augmentation_work(augment, quick, tmp_path):
    tree = config(
        quick, {"fit": {"epochs": 1}, "image": {"augment_strength": 2.0}}, augment=augment
    )
    tree["export"] = {"formats": ["float32"]}
    assert tl_keras.finetune(tree, tmp_path / "run").result["model"]["kept"]


def test_compare_works_with_the_head_alone(quick, tmp_path):
    tree = config(quick, {**HEAD_ALONE, "export": {"formats": []}})
    run = tl_keras.compare(tree, tmp_path / "run")
    assert {own["kept"] for own in run.result["approaches"].values()} == {"head"}


def test_head_alone_on_random_features_is_refused(quick, tmp_path):
    tree = config(quick, {**HEAD_ALONE, "model": {"weights": "none"}})
    tree["fit"] = {"epochs": 0}
    with pytest.raises(ValueError, match=r"fit\.epochs: 0 would train only the head, on random"):
        tl_keras.finetune(tree, tmp_path / "run")
