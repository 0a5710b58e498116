"""What the report, the model card, the files and the log say of classes."""

from collections.abc import Sequence

BEST = "is right most often"
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
ABOUT_INTERVALS = "; the calibration error has none"
SEVERAL = "Accuracies"
HEAD = "logistic regression"
ABOUT_GAIN = (
    "nats by which all their labels together become more likely than by the first candidate, mean "
    "over {views} of each; too little of it is luck. Temperature: by which the logits are divided."
)
OUTPUTS = {
    "probabilities": "Probability of each class, 0 to 1, calibrated by temperature.",
    "abstain": "1 where the model had better not decide, else 0.",
}
LABELLED = ("probabilities", "Class names, in the order of the probabilities.")
TAG = "classification"
CARD_METRICS = (("accuracy", "accuracy", "Accuracy"), ("macro_f1", "f1", "Macro F1"))
STRANGER = "of none of the classes gets one of them all the same."


def about(names: Sequence[str], nouns: str) -> tuple[str, str]:
    """A title for exported files, and what the model does, as a sentence."""
    few = ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else "")
    return few, f"Tells {len(names)} classes of {nouns} apart: {few}."


def line(accuracy: str, on: str) -> str:
    """The main score, as the report's first line has it."""
    return f"{accuracy} of {on} right"


def counted(names: Sequence[str]) -> str:
    """What a data set has answers of."""
    return f"{len(names)} class{'es' if len(names) != 1 else ''}"


def mended(lost: str, on: str, moved: str) -> str:
    """What a file lost before it was mended.

    Args:
      lost, moved: of `exports.lost`, in words.
      on: what it was measured on.
    """
    return f"lost {lost} of accuracy on {on}, and gave {moved} of the probability to other classes"
