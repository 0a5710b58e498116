"""Fixtures of the tests of sources."""

import pytest
import tensorflow_datasets as tfds


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Keeps TFDS from looking for missing builders on the network."""
    monkeypatch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
