"""What the report, the model card and the files say of classes."""

from collections.abc import Sequence


def about(names: Sequence[str]) -> tuple[str, str]:
    """A title for exported files, and what the model does, as a sentence."""
    few = ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else "")
    return few, f"Tells {len(names)} classes of images apart: {few}."


def counted(names: Sequence[str]) -> str:
    """What a data set has answers of."""
    return f"{len(names)} classes"
