"""What the report, the model card and the files say of classes."""

from collections.abc import Sequence

COUNTS_RIGHT = True
SCORES = {
    "accuracy": ("Accuracy", "percent"),
    "balanced_accuracy": ("Balanced accuracy", "percent"),
    "macro_f1": ("Macro F1", "percent"),
    "log_loss": ("Log loss", "number"),
    "calibration_error": ("Calibration error", "percent"),
}
ABOUT_SCORES = (
    "With 95% intervals where there is a method for one: none for the calibration error, nor for "
    "what resampling leaves as it is, as where all are right. Balanced accuracy counts every class "
    "alike. Log loss: the lower, the better its probabilities. Calibration error: how far "
    "confidence and accuracy lie apart, in 15 bins; few examples raise it by chance, see "
    "Confidence, which has 10."
)
TAG = "image-classification"  # of Hugging Face's cards
CARD_METRICS = (("accuracy", "accuracy", "Accuracy"), ("macro_f1", "f1", "Macro F1"))
STRANGER = "A picture of none of the classes gets one of them all the same."


def about(names: Sequence[str]) -> tuple[str, str]:
    """A title for exported files, and what the model does, as a sentence."""
    few = ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else "")
    return few, f"Tells {len(names)} classes of images apart: {few}."


def line(accuracy: str, on: str) -> str:
    """The main score, as the report's first line has it."""
    return f"{accuracy} of {on} right"


def counted(names: Sequence[str]) -> str:
    """What a data set has answers of."""
    return f"{len(names)} classes"
