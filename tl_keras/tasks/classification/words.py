"""Texts about classes for the report, the model card, exported files and the log."""

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
    "Scores have 95% intervals, except the calibration error and scores that resampling the "
    "examples cannot change, for example if all answers are right. Balanced accuracy is the "
    "mean recall of the classes, so each class counts the same. Log loss: the lower, the better "
    "the probabilities. Calibration error: the mean distance between confidence and accuracy over "
    "15 bins; with few examples it is too large by chance."
)
ABOUT_INTERVALS = "; the calibration error has no interval"
SEVERAL = "Accuracies"
HEAD = "logistic regression"
ABOUT_GAIN = (
    "the loss of head (only the head trained) minus the candidate's loss, in nats, averaged over "
    "{views} of each example and summed over the examples; a small gain may be luck. Temperature: "
    "the number by which the logits are divided, to calibrate the probabilities."
)
OUTPUTS = {
    "probabilities": "Probability of each class, 0 to 1, calibrated by temperature.",
    "abstain": "1 if the model abstains, so its answer should not be used; else 0.",
}
LABELLED = ("probabilities", "Class names, in the order of the probabilities.")
TAG = "classification"
CARD_METRICS = (("accuracy", "accuracy", "Accuracy"), ("macro_f1", "f1", "Macro F1"))
STRANGER = "that shows none of the classes is still given one of them."


def about(names: Sequence[str], nouns: str) -> tuple[str, str]:
    """Returns a title (some class names) and a description of the model, for exported files."""
    few = ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else "")
    return few, f"Classifies {nouns} into {len(names)} classes: {few}."


def line(accuracy: str, on: str) -> str:
    """Returns the accuracy as a phrase for the report, as in `95% of 40 test examples right`."""
    return f"{accuracy} of {on} right"


def counted(names: Sequence[str]) -> str:
    """Returns the number of classes as a phrase, as in `3 classes`."""
    return f"{len(names)} class{'es' if len(names) != 1 else ''}"


def mended(lost: str, on: str, moved: str) -> str:
    """Returns what a file lost before its repair, as a phrase that follows the file's format.

    Args:
      lost: the loss of accuracy, as text.
      moved: the probability mass moved to other classes, as text, see `exports.moved`.
      on: a description of the examples, such as "validation".
    """
    return (
        f"lost {lost} of accuracy on {on} and moved {moved} of the probability mass to other "
        "classes"
    )
