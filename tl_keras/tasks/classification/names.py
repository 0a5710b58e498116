"""Names that a config is checked against."""

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error")
FALLING = ("log_loss", "calibration_error")  # The less, the better.
MAIN = "accuracy"
RANGE = (0.0, 1.0)  # of MAIN
CHOOSE_BY = ("log_loss", "accuracy")
CHOOSE_WITHOUT_VIEWS = "accuracy"  # Of CHOOSE_BY: needs no augmented views.
OBJECTIVE = "log_loss"  # Of a hundred images accuracy tells a few steps apart, and ends at 1.
LABEL = "class name"  # What the text of a label is.
NOUNS = ("class", "classes")  # Of answers that have names.
NAMED = True  # Answers have names.
NOTED = ("wrong",)  # What `choice.noted` keeps of each example.
RANKED = ("logme", "left_out_accuracy")  # What `transfer.ranked` says of features.
OPTIONAL = ("labels", "abstain", "transfer")
MEANINGS = {  # Of measures that `record.Scores` does not declare.
    "wrong": "Places of the validation examples that the model answers wrongly, counted from 0.",
    "logme": "LogME (arXiv 2102.11005): how well a linear model on the features explains the "
    "labels; higher is better.",
    "left_out_accuracy": "Accuracy of a logistic regression on examples that it was not fitted on.",
}
