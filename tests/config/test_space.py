"""search.space: its fields, messages of wrong spaces, and the config of a trial."""

import pytest

from tl_keras.config import space
from tl_keras.config import text as configs
from tl_keras.config.search import Goal, Range
from tl_keras.config.whole import RunConfig


def config(**search) -> RunConfig:
    return configs.from_tree({"data": {"source": "digits"}, "search": {"trials": 2, **search}})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "search.space: expected at least one field; received none"),
        ({"fit.freezee": [0.5]}, "search.space.fit.freezee: .* did you mean 'fit.freeze'"),
        ({"data.path": ["a"]}, "search.space.data.path: a search cannot change this field"),
        ({"seed": [1, 2]}, "search.space.seed: a search cannot change this field"),
        ({"export.formats": [[]]}, "search.space.export.formats: a search cannot change"),
        ({"fit.freeze": []}, "search.space.fit.freeze: expected values; received an empty list"),
        ({"fit.freeze": 0.5}, "search.space.fit.freeze: expected a list of values, {min"),
        ({"fit.freeze": [0.5, 2.0]}, "search.space.fit.freeze: 2.0 is not possible: fit.freeze: "),
        ({"model.dropout": "blocks"}, "search.space.model.dropout: 'blocks' is only possible"),
        ({"fit.epochs": {"min": 2, "max": 1}}, "search.space.fit.epochs: expected min below max"),
        ({"fit.epochs": {"min": 0, "max": 9, "scale": "log"}}, "min above 0 where scale is log"),
        ({"fit.epochs": {"min": 1, "max": 9, "step": 2}}, "fit.epochs: step: no such field"),
        ({"fit.freeze": {}}, "search.space.fit.freeze: min: "),
        ({"fit": {"freezee": [1]}}, "search.space.fit.freezee: .* did you mean 'fit.freeze'"),
        ({"model.dropout": {"min": 0.0, "max": 1.5}}, "model.dropout: 1.5 is not possible"),
        ({"model.backbone": ["MobileNetV2", "MobileNetV9"]}, "unknown backbone 'MobileNetV9'"),
        ({"model.options.alpha": [0.36]}, "no ImageNet weights exist for 0.36"),
        ({"image.size": [96, 8]}, "image.size: 8 is not possible"),
        ({"model": ["MobileNet"]}, "search.space.model: 'MobileNet' is not possible: expected"),
        ({"model.weights": ["imagenet", "none"], "fit.freeze": [0.5]}, "would freeze random weig"),
        (
            {"model.backbone": ["MobileNet", "MobileNetV2"], "fit.freeze": ["block_3", 1]},
            "'block_3' is a layer of one backbone",
        ),
        ({"model.options.alpha": {"min": 0.35, "max": 1.0}}, "alpha: expected a list of values"),
        ({"model.options.alpa": [1.0]}, "MobileNetV2 has no such option; did you mean 'alpha'"),
        (
            {"model.backbone": ["MobileNetV2", "EfficientNetB0"], "model.options.alpa": [1.0]},
            "alpa: not an option of EfficientNetB0 or MobileNetV2; did you mean 'alpha'",
        ),
        ({"model": [{"backbone": "MobileNet", "options": {"alpa": 1}}]}, "search.space.model: "),
        ({"model": [{"backbone": "MobileNet", "options": None}]}, "options: expected fields"),
        ({"model": [{"backbone": "MobileNet", "options": ["alpha"]}]}, "options: expected fields"),
        ({"image.size": list(range(96, 300))}, "at most 200 combinations"),
    ],
)
def test_wrong_space_is_refused_on_load(entries, message):
    with pytest.raises(ValueError, match=message):
        config(space=entries)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tuner": "grid"}, "search.tuner: 'grid' is not available, .*keras-tuner/issues/1055"),
        ({"tuner": "rando"}, "search.tuner: .* did you mean 'random'"),
        ({"objective": "acuracy"}, "search.objective: .* did you mean 'accuracy'"),
        ({"objective": "accuracy subject to size <= 3"}, "search.objective: expected limits as in"),
        ({"objective": "accuracy subject to bytes <= nan"}, "search.objective: expected limits"),
        ({"objective": "accuracy subject to "}, "search.objective: expected limits as in"),
        ({"trials": -1}, "search.trials: expected a whole number >= 0"),
        ({"minutes": 0}, "search.minutes: expected a number > 0"),
        ({"tuner": "hyperband", "space": {"fit.epochs": [2, 3]}}, "hyperband chooses the epochs"),
    ],
)
def test_wrong_budget_or_objective_is_refused_on_load(fields, message):
    with pytest.raises(ValueError, match=message):
        config(**fields)


def test_space_may_be_nested_and_overridden_by_field(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("data: {source: digits}\nsearch: {space: {fit: {freeze: [1], epochs: [2]}}}\n")
    overrides = ["search.space.fit.freeze=[0.5]", "search.space.model.options.alpha=[0.25, 1.0]"]
    assert configs.load(file, overrides).search.space == {
        "fit.freeze": (0.5,),
        "fit.epochs": (2,),
        "model.options.alpha": (0.25, 1.0),
    }
    file.write_text(
        "data: {source: digits}\nsearch: {space: {fit: {epochs: [2]}, fit.freeze: [1]}}\n"
    )
    expected = {"fit.freeze": (0.5,), "fit.epochs": (2,)}
    assert configs.load(file, overrides[:1]).search.space == expected
    file.write_text("data: {source: digits}\nsearch: {space: {fit.freeze: [1]}}\n")
    assert configs.load(file, overrides[:1]).search.space == {"fit.freeze": (0.5,)}


def test_layer_name_is_refused_if_a_search_has_several_backbones():
    tree = {"data": {"source": "digits"}, "fit": {"freeze": "block_3_add"}}
    entries = {"model.backbone": ["MobileNetV2", "MobileNet"]}
    with pytest.raises(ValueError, match="fit.freeze: 'block_3_add' is a layer of one backbone"):
        configs.from_tree({**tree, "search": {"trials": 2, "space": entries}})
    entries = {"image.size": [96, 128], "fit.freeze": ["block_3_add"]}
    assert space.depths(config(space=entries)) == ("block_3_add",)


def test_options_that_a_backbone_lacks_are_left_out():
    tree = {"data": {"source": "digits"}, "model": {"options": {"alpha": 0.5}}}
    entries = {"model.backbone": ["MobileNetV2", "EfficientNetB0"]}
    found = configs.from_tree({**tree, "search": {"trials": 2, "space": entries}})
    options = [trial.model.options for trial in space.first_trials(found)]
    assert options == [{"alpha": 0.5}, {}]


def test_space_is_not_checked_without_a_search():
    """The default space has freeze depths, which random weights do not allow."""
    tree = {"data": {"source": "digits"}, "model": {"weights": "none"}}
    assert not configs.from_tree(tree).search.wanted


def test_objective_names_metric_and_limits():
    goal = config(objective="log_loss subject to latency_ms <= 2.5 and bytes <= 3e6").search.goal
    assert goal == Goal("log_loss", {"latency_ms": 2.5, "bytes": 3e6})
    assert config().search.goal == Goal("log_loss", {})


def test_saved_config_loads_again(tmp_path):
    entries = {
        "fit.freeze": "blocks",
        "fit.learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"},
        "model.head_width": [None, 64],
        "image.augment": [[], [{"flip": "horizontal"}]],
    }
    saved = config(space=entries)
    (tmp_path / "config.yaml").write_text(configs.to_yaml(saved))
    assert configs.load(tmp_path / "config.yaml") == saved


def test_config_of_a_trial_has_its_values_and_no_search():
    base = config()
    trial = space.with_values(base, {"fit.freeze": 0.25, "model.options.alpha": 0.5})
    assert (trial.fit.freeze, trial.model.options) == (0.25, {"alpha": 0.5})
    assert not trial.search.wanted
    assert (
        trial.model_copy(update={"fit": base.fit, "model": base.model, "search": base.search})
        == base
    )


def test_each_backbone_has_its_own_default_weights():
    def weights(backbones, **model):
        tree = {"data": {"source": "intents"}, "model": model}
        search = {"trials": 1, "space": {"model.backbone": backbones}}
        found = configs.from_tree({**tree, "search": search})
        return [trial.model.weights for trial in space.first_trials(found)]

    backbones = ["MiniLM-L6", "BERT", "StaticEmbedding", "a/b.keras"]
    assert weights(backbones) == ["published", "none", "minilm", "own"]
    assert weights(backbones[:2], weights="none") == ["none", "none"]


def test_options_are_set_only_for_backbones_that_have_them():
    entries = {"model.backbone": ["MobileNetV2", "EfficientNetB0"], "model.options.alpha": [0.35]}
    base = config(space=entries)
    values = {"model.backbone": "EfficientNetB0", "model.options.alpha": 0.35}
    assert space.with_values(base, values).model.options == {}
    values["model.backbone"] = "MobileNetV2"
    assert space.with_values(base, values).model.options == {"alpha": 0.35}


def test_entry_for_a_section_sets_several_fields(tmp_path):
    files = [str(tmp_path / name) for name in ("a.h5", "b.h5")]
    models = [
        {"backbone": "MobileNet", "weights": files[0]},
        {"backbone": "MobileNetV2", "options": {"alpha": 0.5}, "weights": files[1]},
    ]
    base = config(space={"model": models})
    trial = space.with_values(base, {"model": models[1]})
    assert trial.model.options == {"alpha": 0.5} and trial.model.weights == files[1]
    assert len(space.architectures(base)) == 2


@pytest.mark.parametrize(
    ("name", "ends", "whole"),
    [
        ("fit.epochs", (1, 9), True),
        ("fit.batch_size", (4, 64), True),
        ("model.dropout", (0, 0.5), False),
        ("fit.freeze", (0, 1), False),
    ],
)
def test_ranges_of_integer_fields_have_whole_numbers(name, ends, whole):
    values = Range(min=ends[0], max=ends[1])
    assert space.takes_whole_numbers(config(), name, values) == whole


def test_augment_strength_scales_each_operation_within_its_bounds():
    every = [
        {"flip": "both"},
        {"rotation": 0.4},
        {"zoom": 0.6},
        {"rand_augment": {"magnitude": 0.3}},
        {"mixup": 0.2},
    ]

    def at(strength: float) -> list[dict]:
        image = {"augment": every, "augment_strength": strength}
        found = configs.from_tree(
            {"data": {"source": "digits"}, "image": image}
        ).image.augmentations
        return [entry.model_dump(mode="json") for entry in found]

    assert at(0) == []
    assert at(1) == [*every[:3], {"rand_augment": {"layers": 2, "magnitude": 0.3}}, every[4]]
    assert at(2) == [
        {"flip": "both"},
        {"rotation": 0.5},
        {"zoom": 0.99},
        {"rand_augment": {"layers": 2, "magnitude": 0.6}},
        {"mixup": 0.4},
    ]
