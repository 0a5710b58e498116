import contextlib
from dataclasses import dataclass

import numpy as np

BY = [1]


@dataclass(frozen=True)
class Checked:
    digest: str = ""
    count: int = 0
    looks: str = ""
    reason: str = ""


def bound(settings):
    return 0


def session():
    return contextlib.nullcontext()


def read(file, content, digest, settings, looks):
    numbers = np.array(content().decode("ascii").split(), np.float64)
    if not np.isfinite(numbers).all():
        return Checked(digest, reason="a number that is not finite")
    return Checked(digest, len(numbers), "x" if looks else "")


def blame(start, error):
    return f"not a row of numbers: {error}"


def warnings(checked):
    return []
