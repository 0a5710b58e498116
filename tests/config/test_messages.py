"""A format whose packages are missing is refused, with the command that installs them."""

import configparser
import importlib.util
from pathlib import Path

import pytest

from tl_keras.config.messages import how_to_install
from tl_keras.config.paths import check_extras
from tl_keras.config.whole import RunConfig


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = RunConfig(data={"source": "digits"}, export={"formats": ["onnx"]})
    with pytest.raises(ValueError, match="export.formats: the format 'onnx' needs tf2onnx") as e:
        check_extras(config)
    assert str(e.value).endswith("with: pip install 'tl-keras[onnx]'")


def test_the_extras_that_messages_name_exist():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    assert {"onnx", "text"} <= set(setup["options.extras_require"])
    assert how_to_install("text") == "pip install 'tl-keras[text]'"
