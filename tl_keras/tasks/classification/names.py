"""Constants of the task `classification`: metrics, allowed values of the config, words."""

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error")
FALLING = ("log_loss", "calibration_error")  # lower is better
MAIN = "accuracy"
RANGE = (0.0, 1.0)  # of MAIN
CHOOSE_BY = ("log_loss", "accuracy")
CHOOSE_WITHOUT_VIEWS = "accuracy"  # the value of CHOOSE_BY that needs no augmented views
OBJECTIVE = "log_loss"  # On a hundred images, accuracy has too few steps to compare trials.
LABEL = "class name"  # for messages: what the text of a label is
NOUNS = ("class", "classes")
NAMED = True  # Answers have names.
NOTED = ("wrong",)  # keys of the result of `choice.noted`
RANKED = ("logme", "left_out_accuracy")  # keys of the result of `transfer.ranked`
OPTIONAL = ("labels", "abstain", "transfer")
MEANINGS = {  # Of measures that `record.Scores` does not declare.
    "wrong": "Positions of the validation examples that the model answers wrongly, counted from 0.",
    "logme": "LogME (arXiv 2102.11005): how well a linear model on the features explains the "
    "labels; higher is better.",
    "left_out_accuracy": "Accuracy of a logistic regression on examples that it was not fitted on.",
}
