"""Configs: every message, YAML 1.2 without execution of code, and equality after saving."""

import importlib.resources
import json
import os
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from tl_keras import launch
from tl_keras.config import text as configs
from tl_keras.config.earlier.difference import first_difference
from tl_keras.config.export import FORMATS, Format
from tl_keras.config.model import WEIGHTS, ModelConfig
from tl_keras.config.paths import check_paths
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import MODALITIES
from tl_keras.modalities.image.config import Augmentation, RandAugment

FILES = sorted(Path(__file__).parents[2].glob("configs/**/*.yaml"))
EMBEDDED = [
    Path(str(file))
    for file in importlib.resources.files("tl_keras.embedded").iterdir()
    if file.name.endswith(".yaml")
]
ALL_AUGMENTATIONS = [
    {"flip": "both"},
    {"rotation": 0.5},
    {"zoom": 0.1},
    {"translation": 0.2},
    {"contrast": 0.3},
    {"brightness": 0.1},
    {"color": 1.0},
    {"rand_augment": {}},
    {"rand_augment": {"layers": 3, "magnitude": 1}},
    {"erasing": 0.5},
    {"mixup": 0.2},
    {"cutmix": 1.0},
]


def tree(**sections) -> dict:
    """A config that needs nothing on disk, with other values in some sections."""
    return {**sections, "data": {"source": "digits", **sections.get("data", {})}}


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "some.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def message(text: str | bytes, folder: Path, overrides=()) -> str:
    with pytest.raises(ValueError) as caught:
        configs.load(write(folder, text), overrides)
    return str(caught.value)


# Config texts and the beginnings of their messages.
WRONG = [
    ("fit: {epochs: ten}", "fit.epochs: expected a whole number >= 0, or 'auto'; received 'ten'"),
    ("fit: {epochs: -1}", "fit.epochs: expected a whole number >= 0, or 'auto'; received -1"),
    ("fit: {epochs: 1.5}", "fit.epochs: expected a whole number >= 0, or 'auto'; received 1.5"),
    ("fit: {epochs: true}", "fit.epochs: expected a whole number >= 0, or 'auto'; received true"),
    (
        "fit: {epochs: atuo}",
        "fit.epochs: expected a whole number >= 0, or 'auto'; received 'atuo'; "
        "did you mean 'auto'?",
    ),
    ("fit: {batch_size: '8'}", "fit.batch_size: expected a whole number >= 1; received '8'"),
    ("fit: {ema: 1}", "fit.ema: expected a number >= 0 and < 1; received 1"),
    (
        "fit: {learning_rate: .inf}",
        "fit.learning_rate: expected a number > 0, or 'auto', and finite; received inf",
    ),
    (
        "fit: {learning_rate: .nan}",
        "fit.learning_rate: expected a number > 0, or 'auto', and finite; received nan",
    ),
    (
        "fit: {freeze: 1.5}",
        "fit.freeze: expected a number from 0 to 1 (the share of the blocks), 'auto', or a layer's "
        "name; received 1.5",
    ),
    (
        "fit: {optimizer: adamm}",
        "fit.optimizer: expected 'adam', 'adamw' or 'sgd'; received 'adamm'; did you mean 'adam'?",
    ),
    ("fit: {optimizer: 3}", "fit.optimizer: expected 'adam', 'adamw' or 'sgd'; received 3"),
    ("fit: {mixed_precision: yes}", "fit.mixed_precision: expected true or false; received 'yes'"),
    ("fit: {clip_norm: none}", "fit.clip_norm: expected a number > 0, or null; received 'none'"),
    (
        "fit: {dropout: 0.1}",
        "fit.dropout: no such field; did you mean 'dropout' in section 'model'?",
    ),
    ("fit: {seed: 1}", "fit.seed: no such field; did you mean 'seed' at the top of the config, "),
    ("fit: {epoch: 1}", "fit.epoch: no such field; did you mean 'epochs'?"),
    ("fit: {float: 1}", "fit.float: no such field; known: epochs, batch_size, learning_rate, "),
    ("fit: [1]", "fit: expected fields, as in {name: value}; received [1]"),
    ("fit:", "fit: expected fields, as in {name: value}; received null"),
    ("fti: {}", "fti: no such field; did you mean 'fit'?"),
    (
        "zzz: {}",
        "zzz: no such field; known: task, data, image, text, model, fit, search, cross_validate, ",
    ),
    ("epochs: 3", "epochs: no such field; did you mean 'epochs' in section 'fit'?"),
    ("fit.epochs: 3", "fit.epochs: no such field; did you mean 'epochs' in section 'fit'?"),
    ("1: 2", "1: no such field; known: task, data, image, text, model, "),
    ("seed: -1", "seed: expected a whole number >= 0 and < 1073741824; received -1"),
    ("cache: {max_bytes: 20GB}", "cache.max_bytes: expected a number >= 0; received '20GB'"),
    ("cache: {path: ''}", "cache.path: expected text that is not empty, or null; received ''"),
    ("export: {formats: int8}", "export.formats: expected a list, as in [a, b]; received 'int8'"),
    (
        "export: {formats: [int8, flaot32]}",
        f"export.formats.1: expected {', '.join(map(repr, get_args(Format)[:-1]))} or "
        f"{get_args(Format)[-1]!r}; received 'flaot32'; did you mean 'float32'?",
    ),
    (
        "model: {backbone: MobilNetV2}",
        "model.backbone: unknown backbone 'MobilNetV2'; did you mean 'MobileNetV2'?",
    ),
    (
        "model: {options: {alpha: big}}",
        "model.options.alpha: must be a number in 0.1..4.0, received 'big'",
    ),
    (
        "model: {options: {alfa: 1.0}}",
        "model.options.alfa: MobileNetV2 has no such option; did you mean 'alpha'?",
    ),
    (
        "model: {weights: ''}",
        "model.weights: expected 'imagenet', 'glyphs', 'published', 'minilm', 'none', 'own' (the "
        "weights in a backbone's file or folder), a weights file, or the folder of an earlier run; "
        "received ''",
    ),
    (
        "model: {weights: own}",
        "model.weights: 'own' means the weights in a backbone's file or folder; expected another "
        "value, since MobileNetV2 is neither",
    ),
    (
        "model: {weights: published}",
        "model.weights: MobileNetV2 has no weights 'published'; expected 'imagenet', 'glyphs', "
        "'none', a weights file, or the folder of an earlier run",
    ),
    (
        "model: {preprocessing: tf}",
        "model.preprocessing: MobileNetV2 has its own preprocessing; expected null, received 'tf'",
    ),
    (
        "model: {backbone: a.keras, preprocessing: torhc}",
        "model.preprocessing: expected 'tf', 'torch', 'caffe' or 'included' for a .keras backbone, "
        "or null for a Keras Applications model; received 'torhc'; did you mean 'torch'?",
    ),
    (
        "model: {backbone: a.keras, options: {alpha: 0.5}}",
        "model.options.alpha: a .keras backbone takes no options; remove them",
    ),
    (
        "model: {backbone: a.keras, weights: imagenet}",
        "model.weights: the weights 'imagenet' do not fit a .keras backbone; expected 'own' (the "
        "weights in the backbone's file or folder), 'none', a weights file, or an earlier run's "
        "folder",
    ),
    (
        "model: {backbone: 3}",
        "model.backbone: expected the name of a backbone, the path of a .keras file, or a folder "
        "with the config.json of a text model; received 3",
    ),
]
WRONG_DATA = [
    ("{}", "data.path: expected a folder of class folders; received none"),
    ("{source: csv}", "data.path: expected a CSV file; received none"),
    (
        "{source: tfds}",
        "data.name: expected the name of a TFDS builder, as in 'beans', since data.source is "
        "'tfds'; received null",
    ),
    (
        "{source: glyphs, balance: weights}\nimage: {augment: []}",
        "data.balance: expected the default, 'none', since data.source: glyphs renders about ",
    ),
    (
        "{source: glyphs}",
        "image.augment: expected [], since data.source: glyphs renders images that are already "
        "distorted; received 4 ",
    ),
    (
        "{source: foldr}",
        "data.source: expected 'folder', 'csv', 'jsonl', 'tfds', 'digits', 'glyphs' or 'intents'; "
        "received 'foldr'; did you mean 'folder'?",
    ),
    (
        "{path: 3}",
        "data.path: expected a folder of class folders, a table (CSV or JSON lines), or a TFDS "
        "data folder; received 3",
    ),
    (
        "{path: x, val: 0.5, test: 0.6}",
        "data.test: expected val + test < 1, so that examples are left to train on; received 0.5",
    ),
    ("{path: x, val: 0}", "data.val: expected a number > 0 and < 0.9; received 0"),
    (
        "{path: x}\nimage: {size: 10}",
        "image.size: expected a whole number >= 16 and <= 1024; received 10",
    ),
    (
        "{path: x, balance: null}",
        "data.balance: expected 'none', 'weights' or 'oversample'; received null; "
        "did you mean 'none'?",
    ),
    (
        "{path: x, examples_per_class: many}",
        "data.examples_per_class: expected a whole number >= 2, or null; received 'many'",
    ),
    ("{path: x}\nimage: {antialias: no}", "image.antialias: expected true or false; received 'no'"),
    (
        "{path: x}\nimage: {augment: {flip: both}}",
        "image.augment: expected a list, as in [a, b]; received {'flip': 'both'}",
    ),
    (
        "{path: x}\nimage: {augment: [flip]}",
        "image.augment.0: expected fields, as in {name: value}; received 'flip'",
    ),
    (
        "{path: x}\nimage: {augment: [{flip: bth}]}",
        "image.augment.0.flip: expected 'horizontal', 'vertical' or 'both'; received 'bth'; "
        "did you mean 'both'?",
    ),
    (
        "{path: x}\nimage: {augment: [{zoom: 0.1}, {blurr: 1}]}",
        "image.augment.1.blurr: no such field; known: flip, rotation, zoom, ",
    ),
    (
        "{path: x}\nimage: {augment: [{rotation: 2}]}",
        "image.augment.0.rotation: expected a number > 0 and <= 0.5; received 2",
    ),
    (
        "{path: x}\nimage: {augment: [{zoom: 0.1, flip: both}]}",
        "image.augment.0: expected one operation and its strength, as in {flip: both}; "
        "received flip and zoom",
    ),
    (
        "{path: x}\nimage: {augment: [{flip: null}]}",
        "image.augment.0: expected one operation and its strength, as in {flip: both}; "
        "received none",
    ),
    (
        "{path: x}\nimage: {augment: [{rand_augment: {layer: 2}}]}",
        "image.augment.0.rand_augment.layer: no such field; did you mean 'layers'?",
    ),
    (
        "{path: x}\nimage: {augment: [{rand_augment: {layers: 9}}]}",
        "image.augment.0.rand_augment.layers: expected a whole number >= 1 and <= 6; received 9",
    ),
]
NOT_A_CONFIG = [
    ("data: {source: digits", "', line 1: invalid YAML: expected ',' or '}'"),
    ("seed: 1\nfit:\n  epochs: 1\n   views: 2\n", "', line 4: invalid YAML: mapping values"),
    ("seed: 1\nfit: {}\nseed: 2\n", '\', line 3: invalid YAML: found duplicate key "seed"'),
    ("fit: {views: 1, views: 2}", '\', line 1: invalid YAML: found duplicate key "views"'),
    ("seed: 1\n---\nseed: 2\n", "', line 2: invalid YAML: found another document"),
    ("seed: \x00", "': invalid YAML: unacceptable character #x0000"),
    ("- data\n- model\n", "': expected sections such as 'data:'; received ['data', 'model']"),
    ("data", "': expected sections such as 'data:'; received 'data'"),
    (b"data: {path: caf\xe9}", "': expected UTF-8 text; received byte 0xe9 at position 16"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_message_of_a_wrong_value(text, expected, tmp_path):
    assert message(f"data: {{source: digits}}\n{text}", tmp_path).startswith(expected)


@pytest.mark.parametrize(("text", "expected"), WRONG_DATA)
def test_message_of_wrong_data(text, expected, tmp_path):
    assert message(f"data: {text}", tmp_path).startswith(expected)


@pytest.mark.parametrize(("text", "expected"), WRONG + WRONG_DATA)
def test_message_is_one_line_without_pydantic_jargon(text, expected, tmp_path):
    text = f"data: {text}" if (text, expected) in WRONG_DATA else f"data: {{path: x}}\n{text}"
    found = message(text, tmp_path)
    assert "\n" not in found
    assert not re.search(r"Input|tuple|dict|None|True|valid |pydantic|literal|\[type=", found)


@pytest.mark.parametrize(("text", "expected"), NOT_A_CONFIG)
def test_message_of_a_file_that_is_not_a_config(text, expected, tmp_path):
    assert message(text, tmp_path).startswith(f"config '{tmp_path}/some.yaml{expected}")


def test_each_wrong_field_gets_its_own_line(tmp_path):
    text = "data: {source: cvs, sise: 3}\nfit: {epochs: x}\nseed: -1\nmodle: {}\n"
    fields = [line.split(":")[0] for line in message(text, tmp_path).split("\n")]
    assert sorted(fields) == ["data.sise", "data.source", "fit.epochs", "modle", "seed"]


def test_each_wrong_entry_of_a_list_gets_its_own_line(tmp_path):
    text = "data: {source: digits}\nimage: {augment: [{}, {flip: both}, {}]}"
    text += "\nexport: {formats: [a, b]}"
    fields = [line.split(":")[0] for line in message(text, tmp_path).split("\n")]
    assert fields == ["image.augment.0", "image.augment.2", "export.formats.0", "export.formats.1"]


def test_missing_path_does_not_hide_other_errors(tmp_path):
    lines = message("fit: {epoch: 3}", tmp_path).split("\n")
    assert sorted(line.split(":")[0] for line in lines) == ["data.path", "fit.epoch"]


def test_message_of_a_missing_file_names_the_most_similar_file(tmp_path):
    (tmp_path / "ants_bees.yaml").touch()
    with pytest.raises(ValueError, match=r"ant_bees.yaml' does not exist; did you mean '.*/ants_b"):
        configs.load(tmp_path / "ant_bees.yaml")
    with pytest.raises(ValueError, match=r"zzz' does not exist$"):
        configs.load(tmp_path / "zzz")
    with pytest.raises(ValueError, match=r"/no/such/folder/x.yaml' does not exist$"):
        configs.load("/no/such/folder/x.yaml")


def test_message_of_a_path_that_is_a_folder_or_below_a_file(tmp_path):
    with pytest.raises(ValueError, match="expected a YAML file; received a folder"):
        configs.load(tmp_path)
    with pytest.raises(ValueError, match="cannot be read: Not a directory"):
        configs.load(write(tmp_path, "") / "below")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fit.epochs", "--set: expected section.field=value; received 'fit.epochs'"),
        ("=3", "--set: expected section.field=value; received '=3'"),
        ("fit..epochs=3", "--set: expected section.field=value; received 'fit..epochs=3'"),
        (
            "seed.x=3",
            "--set: expected section.field=value; received 'seed.x=3', but 'seed' has the value 7 "
            "and no fields",
        ),
        ("data.path=[", "--set data.path, line 1: invalid YAML: expected the node content"),
        ("fit.epoch=3", "fit.epoch: no such field; did you mean 'epochs'?"),
        ("fit.epochs=x", "fit.epochs: expected a whole number >= 0, or 'auto'; received 'x'"),
        ("fit.epochs.x=3", "fit.epochs: expected a whole number >= 0, or 'auto'; received {'x': 3"),
        ("image.augment.0.zoom=0.1", "image.augment: expected a list, as in [a, b]; received {'0'"),
    ],
)
def test_message_of_a_wrong_override(override, expected, tmp_path):
    text = "data: {source: digits}\nseed: 7\n"
    assert message(text, tmp_path, [override]).startswith(expected)


def test_later_overrides_win_and_values_are_yaml(tmp_path):
    file = write(tmp_path, "data: {source: digits}\nfit: {epochs: 3}\nmodel:\n")
    overrides = ["fit.epochs=4", "fit.epochs=5", "export.formats=[int8]", "model.dropout=0.5"]
    config = configs.load(file, [*overrides, "fit.clip_norm=null", "fit.learning_rate=1e-5"])
    assert config.fit.epochs == 5
    assert config.export.formats == ("int8",)
    assert config.model.dropout == 0.5
    assert config.fit.clip_norm is None
    assert config.fit.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("1E3", 1000.0), ("0o10", 8), ("no", "no"), ("on", "on"), ("12:30", "12:30")],
)
def test_values_are_parsed_as_yaml_1_2(text, value):
    # YAML 1.1 would give: a string, a string, a string, False, True, 750.
    parsed = configs._parse(text, "text", None)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {file}']",
        "data: !!python/object/apply:os.system ['touch {file}']",
        "data: !!python/object/new:subprocess.Popen [[touch, '{file}']]",
        "data: !!python/name:os.system",
        "data: !include {file}",
    ],
)
def test_yaml_tags_are_refused_and_execute_nothing(text, tmp_path):
    planted = tmp_path / "planted"
    found = message(text.replace("{file}", str(planted)), tmp_path)
    assert "line 1: invalid YAML: could not determine a constructor for the tag" in found
    assert not planted.exists()


def test_config_files_exist():
    assert FILES and EMBEDDED


@pytest.mark.parametrize("file", FILES + EMBEDDED, ids=lambda file: file.name)
def test_config_file_loads_and_is_equal_after_saving(file, tmp_path):
    config = configs.load(file)
    assert configs.load(write(tmp_path, configs.to_yaml(config))) == config


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_config_file_starts_with_its_command(file):
    head = "".join(re.findall(r"^#.*\n", file.read_text(), re.MULTILINE)[:4])
    command = (
        r"quickstart( --modality=[a-z]+)?$"
        if file.stem.startswith("quickstart")
        else rf"[a-z_]+ --config=configs/{file.name} "
    )
    assert re.search(rf"^#   tl-keras {command}", head, re.MULTILINE)


def test_all_augmentations_are_equal_after_saving(tmp_path):
    assert {name for entry in ALL_AUGMENTATIONS for name in entry} == set(Augmentation.model_fields)
    config = configs.from_tree(tree(image={"augment": ALL_AUGMENTATIONS}))
    text = configs.to_yaml(config)
    assert configs.load(write(tmp_path, text)) == config
    assert "null" not in text.partition("augment:")[2].partition("model:")[0]
    # Defaults are saved, too, so that another version's defaults do not change the config.
    assert "magnitude: 0.3" in text


@pytest.mark.parametrize(
    "name", ["a b: c #d", "no", "1e-5", "~", "null", "'\"", "größe 漢字 🌼", "a\nb\t", "- x" * 60]
)
def test_unusual_names_are_equal_after_saving(name, tmp_path):
    config = configs.from_tree(tree(data={"path": name}, fit={"freeze": name}))
    assert config.fit.freeze == name
    assert configs.load(write(tmp_path, configs.to_yaml(config))) == config


def test_saved_config_has_every_field():
    text = configs.to_yaml(configs.from_tree(tree()))
    others = MODALITIES.keys() - {"image"}
    for name in RunConfig.model_fields.keys() - others:
        section = RunConfig.model_fields[name]
        for field in getattr(section.annotation, "model_fields", {}):
            assert re.search(rf"^  {field}:", text, re.MULTILINE), field


def test_defaults():
    config = configs.from_tree(tree())
    assert config.model.backbone == "MobileNetV2"
    assert config.model.weights == "imagenet"
    assert config.fit.freeze == "auto"
    assert [entry.name for entry in config.image.augment] == [
        *("flip", "rotation", "zoom", "contrast")
    ]
    assert config.export.formats == FORMATS
    assert config.cache.max_bytes == 20e9
    assert config.seed == 0
    assert Augmentation(rand_augment=RandAugment()).rand_augment.layers == 2


def test_paths_become_absolute_and_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    here = {"data": {"path": "a/../b"}, "model": {"weights": "w"}, "cache": {"path": "c"}}
    config = configs.from_tree(tree(**here))
    assert config.data.path == str(tmp_path / "b")
    assert config.model.weights == str(tmp_path / "w")
    assert config.cache.path == str(tmp_path / "c")
    home = {"data": {"path": "~/b"}, "model": {"weights": "~/w"}, "cache": {"path": "~/c"}}
    config = configs.from_tree(tree(**home))
    assert config.data.path == "/home/ada/b"
    assert config.model.weights == "/home/ada/w"
    assert config.cache.path == "/home/ada/c"
    monkeypatch.chdir("/")
    assert configs.from_tree(configs.to_tree(config)) == config


def test_paths_may_be_pathlib_paths(tmp_path):
    here = {"data": {"path": tmp_path}, "model": {"weights": tmp_path}, "cache": {"path": tmp_path}}
    config = configs.from_tree(tree(**here))
    assert config.data.path == config.model.weights == config.cache.path == str(tmp_path)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_names_of_weights_are_not_made_absolute(weights):
    backbone = "a.keras" if weights in ("own", "none") else "MobileNetV2"
    assert ModelConfig(backbone=backbone, weights=weights).weights == weights


@pytest.mark.parametrize(
    ("backbone", "weights"),
    [
        ("MobileNetV2", "imagenet"),
        ("MiniLM-L6", "published"),
        ("BERT", "none"),
        ("StaticEmbedding", "minilm"),
        ("a.keras", "own"),
        ("models/bert", "own"),
    ],
)
def test_default_weights_depend_on_the_backbone(backbone, weights):
    assert ModelConfig(backbone=backbone).weights == weights


def test_backbone_file_becomes_absolute_and_has_its_own_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configs.from_tree(tree(model={"backbone": Path("a.keras"), "preprocessing": "tf"}))
    assert config.model.backbone == config.model.origin == str(tmp_path / "a.keras")
    assert config.model.weights == "own"
    assert configs.load(write(tmp_path, configs.to_yaml(config))) == config
    from_file = configs.from_tree(tree(model={"backbone": "a.keras", "weights": "b.h5"}))
    assert from_file.model.origin == str(tmp_path / "b.h5")
    assert configs.from_tree(tree()).model.origin == "imagenet"


def test_check_paths_names_the_field_and_the_most_similar_path(tmp_path):
    def found(data, weights="none"):
        config = configs.from_tree({"data": data, "model": {"weights": str(weights)}})
        with pytest.raises(ValueError) as caught:
            check_paths(config)
        return str(caught.value)

    (tmp_path / "photos").mkdir()
    (tmp_path / "list.csv").touch()
    folder = {"path": str(tmp_path / "photos")}
    assert found({"path": str(tmp_path / "photo")}) == (
        "data.path: expected a folder of class folders, a table (CSV or JSON lines), or a TFDS "
        f"data folder; '{tmp_path}/photo' does not exist; did you mean '{tmp_path}/photos'?"
    )
    assert found({"source": "folder", "path": str(tmp_path / "list.csv")}) == (
        f"data.path: expected a folder; received the file '{tmp_path}/list.csv'; set data.source "
        "to 'csv' to read it as a table"
    )
    assert found({"path": str(tmp_path), "source": "csv"}) == (
        f"data.path: expected a CSV file; received the folder '{tmp_path}'"
    )
    assert found(folder, tmp_path / "w.h5") == (
        "model.weights: expected 'imagenet', 'glyphs', 'published', 'minilm', 'none', 'own' (the "
        "weights in a backbone's file or folder), a weights file, or the folder of an earlier run; "
        f"'{tmp_path}/w.h5' does not exist"
    )
    assert found(folder, "Imagenet").endswith("does not exist; did you mean 'imagenet'?")
    assert found(folder, tmp_path / "lists.csv").endswith(f"did you mean '{tmp_path}/list.csv'?")
    for weights in ("imagenet", "none"):
        check_paths(configs.from_tree({"data": folder, "model": {"weights": weights}}))


def test_check_paths_refuses_weights_that_cannot_fit(tmp_path):
    def check(weights, **model):
        check_paths(configs.from_tree(tree(model={"weights": str(weights), **model})))

    check("glyphs", backbone="MobileNet", options={"alpha": 0.5})
    with pytest.raises(ValueError, match=r"'glyphs' fit only MobileNet .* received MobileNet with"):
        check("glyphs", backbone="MobileNet", options={"alpha": 0.25})
    (tmp_path / "list.csv").touch()
    with pytest.raises(ValueError, match=r"model\.weights: expected a \.h5.*'\S+list\.csv'"):
        check(tmp_path / "list.csv")
    with pytest.raises(
        ValueError, match=r"model\.weights: the folder \S+ contains no model\.keras"
    ):
        check(tmp_path)


def test_a_run_with_weights_that_cannot_fit_leaves_no_folder(tmp_path):
    config = tree(model={"weights": "glyphs"})
    with pytest.raises(ValueError, match="'glyphs' fit only MobileNet"):
        launch.launch("finetune", configs.from_tree(config), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_check_paths_checks_the_backbone_file(tmp_path):
    def found(backbone):
        model = {"backbone": str(tmp_path / backbone)}
        with pytest.raises(ValueError) as caught:
            check_paths(configs.from_tree(tree(model=model)))
        return str(caught.value)

    (tmp_path / "mine.keras").write_bytes(b"no zip")
    assert found("mien.keras") == (
        "model.backbone: expected the name of a backbone, the path of a .keras file, or a folder "
        f"with the config.json of a text model; '{tmp_path}/mien.keras' does not exist; did you "
        f"mean '{tmp_path}/mine.keras'?"
    )
    assert "damaged or not a .keras file" in found("mine.keras")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fit": {"epochs": 3}}, "fit.epochs: 'auto' in the workdir, 3 now"),
        ({"seed": 1}, "seed: 0 in the workdir, 1 now"),
        (
            {"image": {"augment": [{"zoom": 0.1}]}},
            r"image.augment: \[.*\] in the workdir, \[{'zoom': 0.1}\] now",
        ),
        ({"model": {"options": {"alpha": 0.5}}}, "model.options: {} in the .*, {'alpha': 0.5} now"),
        ({"image": {"size": 32}, "seed": 1}, "image.size: 160 in the workdir, 32 now"),
    ],
)
def test_difference_names_the_first_field_that_differs(changes, expected):
    found = first_difference(configs.from_tree(tree()), configs.from_tree(tree(**changes)))
    assert re.fullmatch(expected, found)


def test_difference_ignores_export_and_cache():
    changes = {"export": {"formats": ["int8"]}, "cache": {"path": "/elsewhere", "max_bytes": 0}}
    other = configs.from_tree(tree(**changes))
    assert first_difference(configs.from_tree(tree()), other) is None


def test_sections_are_frozen():
    config = configs.from_tree(tree())
    for section, field in [
        (config, "seed"),
        (config.fit, "epochs"),
        (config.image.augment[0], "flip"),
    ]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, field, 1)


def unknown_names(tree: dict, node: dict, root: dict):
    """Yields the names in a config's tree that the schema does not have."""
    node = root["$defs"][node["$ref"].split("/")[-1]] if "$ref" in node else node
    for name, value in tree.items():
        if name not in node["properties"]:
            yield name
        elif isinstance(value, dict) and name not in ("options", "space"):
            yield from unknown_names(value, node["properties"][name], root)


def test_schema_has_every_section_and_is_deterministic():
    schema = configs.schema()
    assert list(schema["properties"]) == list(RunConfig.model_fields)
    assert not list(unknown_names(configs.to_tree(configs.from_tree(tree())), schema, schema))
    assert json.dumps(schema) == json.dumps(configs.schema())
    augment = schema["$defs"]["ImageConfig"]["properties"]["augment"]["default"]
    assert augment[0] == {"flip": "horizontal"}
    for name, section in schema["$defs"].items():
        assert section["additionalProperties"] is False, name


def test_relative_path_of_a_config_starts_at_the_current_folder(tmp_path, monkeypatch):
    write(tmp_path, "data: {source: digits}")
    monkeypatch.chdir(tmp_path)
    assert configs.load("some.yaml") == configs.load(os.path.abspath("some.yaml"))


def test_freezing_random_weights_is_refused():
    with pytest.raises(ValueError, match=r"fit\.freeze: 0\.5 would freeze random weights"):
        configs.from_tree(
            {
                "data": {"source": "digits"},
                "model": {"weights": "none"},
                "fit": {"freeze": 0.5},
            }
        )


def test_views_without_augmentation_are_refused():
    for augment in ([], [{"mixup": 0.2}]):
        tree = {"data": {"source": "digits"}, "image": {"augment": augment}}
        with pytest.raises(ValueError, match="evaluate.views: .* expected 1, received 8"):
            configs.from_tree({**tree, "evaluate": {"views": 8}})


def test_averaging_weights_from_scratch_is_refused():
    tree = {"data": {"source": "digits"}, "model": {"weights": "none"}, "fit": {"keep": "average"}}
    with pytest.raises(ValueError, match="fit.keep: .* expected 'auto' or 'best'"):
        configs.from_tree(tree)


def test_class_names_that_are_numbers_need_no_quotes():
    config = configs.load(None, ["data.source=digits", "evaluate.classes={0: cat, zero: 7}"])
    assert config.evaluate.classes == {"0": "cat", "zero": "7"}


def test_numpy_values_are_accepted():
    tree = {
        "data": {"source": np.str_("digits")},
        "image": {"size": np.int64(32)},
        "fit": {
            "epochs": np.int32(3),
            "learning_rate": np.float32(0.5),
            "mixed_precision": np.True_,
        },
        "search": {"space": {"fit.freeze": np.array([0.0, 1.0]), "fit.views": (np.int64(1), 2)}},
        "seed": np.array(5),
    }
    config = configs.from_any(tree)
    assert configs.from_any(config) is config
    assert (config.fit.epochs, config.seed, config.fit.mixed_precision) == (3, 5, True)
    assert config.search.space["fit.freeze"] == (0.0, 1.0)
    assert "learning_rate: 0.5" in configs.to_yaml(config)


@pytest.mark.parametrize("wrong", [None, 5, ["data"], b"photos.yaml", {1, 2}], ids=str)
def test_config_of_a_wrong_type_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="config: expected nested dicts, the path of a YAML file"):
        configs.from_any(wrong)


@pytest.mark.parametrize("name", ["cat", "007", "1e3", "null", "true", "a: b", "a, b", "{x}", "~"])
def test_name_written_as_yaml_is_read_back_unchanged(name):
    text = f"{{{configs.as_yaml(name)}: {configs.as_yaml('cat')}}}"
    assert YAML(typ="safe", pure=True).load(text) == {name: "cat"}
    assert (configs.as_yaml(name) == name) == (name == "cat")


@pytest.mark.parametrize("text", ["{1e3: cat}", "{null: cat}", "{cat: true}"])
def test_message_of_class_names_that_are_not_text(text):
    with pytest.raises(
        ValueError, match="expected a class name; received .*write the name in quotes"
    ):
        configs.load(None, ["data.source=digits", f"evaluate.classes={text}"])


@pytest.mark.parametrize(
    "entry", ["{min: 1e-300, max: 1e300, scale: log}", "{min: -1e308, max: 1e308}"]
)
def test_ranges_too_wide_for_floats_are_refused(entry):
    lines = ["data.source=digits", "search.trials=1", f"search.space.fit.weight_decay={entry}"]
    with pytest.raises(ValueError, match="expected a min and a max that are at most 100 powers"):
        configs.load(None, lines)


def test_earlier_names_and_other_mistakes_are_reported_in_one_message():
    tree = {
        "data": {"source": "digits", "image_size": 64, "augment": [], "batch_size": 8},
        "search": {"trials": 1, "space": {"data.resize": ["crop"], "fit.freeze": [1.0]}},
    }
    with pytest.raises(ValueError) as raised:
        configs.from_tree(tree)
    assert str(raised.value).splitlines() == [
        "data.image_size: this field is now image.size",
        "search.space.data.resize: this field is now search.space.image.resize",
        "data.augment: this field is now image.augment",
        "data.batch_size: no such field; did you mean 'batch_size' in section 'fit'?",
    ]
    with pytest.raises(ValueError, match="data.antialias: this field is now image.antialias"):
        configs.load(None, ["data.source=digits", "data.antialias=true"])


def test_a_section_that_is_text_is_refused_if_the_data_are_missing_too():
    with pytest.raises(ValueError, match=r"^model: expected fields, as in .*; received 'BERT'"):
        configs.from_tree({"data": {"path": "/missing"}, "model": "BERT"})
