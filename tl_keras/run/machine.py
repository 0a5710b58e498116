"""Describes the software and hardware that a run uses: package versions and devices."""

import os
import platform
from importlib.metadata import version
from typing import Any

PACKAGES = ("tl-keras", "tensorflow", "keras", "numpy", "scikit-learn", "ai-edge-litert")


def described() -> dict[str, Any]:
    """Builds the fields `versions` and `device` of `result.json` for this machine."""
    import tensorflow as tf  # Imported here because a finished run does not need it.

    accelerators = len(tf.config.list_physical_devices("GPU"))
    return {
        "versions": {"python": platform.python_version(), **{n: version(n) for n in PACKAGES}},
        "device": f"{platform.machine()}, {os.cpu_count()} CPU cores, {accelerators} GPUs",
    }
