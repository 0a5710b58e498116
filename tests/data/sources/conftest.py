"""What the tests of sources share."""

import pytest
import tensorflow_datasets as tfds


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """TFDS would ask Google for what it does not find."""
    monkeypatch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
