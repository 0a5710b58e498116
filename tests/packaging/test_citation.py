"""CITATION.cff names the version that is in the tree."""

from pathlib import Path

from ruamel.yaml import YAML

from tl_keras.version import VERSION

ROOT = Path(__file__).parents[2]


def test_citation_names_the_version_of_the_package():
    citation = YAML(typ="safe", pure=True).load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == VERSION
