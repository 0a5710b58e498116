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
    "Scores have 95% intervals. The calibration error has none, nor does a score that resampling "
    "the examples cannot change, for example if all answers are right. Balanced accuracy is the "
    "mean recall of the classes, so each class counts the same. Log loss: the lower, the better "
    "the probabilities. Calibration error: the mean distance between confidence and accuracy over "
    "15 bins; with few examples it is too large by chance. The section Confidence has 10 bins."
)
ABOUT_INTERVALS = "; the calibration error has none"
SEVERAL = "Accuracies"
HEAD = "logistic regression"
ABOUT_GAIN = (
    "how much more likely the candidate makes all labels together than the first candidate does, "
    "in nats, as a mean over {views} of each example; a small gain may be luck. Temperature: the "
    "number that the logits are divided by."
)
OUTPUTS = {
    "probabilities": "Probability of each class, 0 to 1, calibrated by temperature.",
    "abstain": "1 where the model had better not decide, else 0.",
}
LABELLED = ("probabilities", "Class names, in the order of the probabilities.")
TAG = "classification"
CARD_METRICS = (("accuracy", "accuracy", "Accuracy"), ("macro_f1", "f1", "Macro F1"))
STRANGER = "that shows none of the classes is still given one of them."


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
