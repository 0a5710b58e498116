"""A second task: labels are numbers, the model has one linear output, the loss is squared error.

This module has all required parts of a task (see `tl_keras.tasks`) and none of the optional ones.
"""

import numpy as np

from tl_keras.run.result import part
from tl_keras.run.result.exports import FileLoss

# names

METRICS = ("error", "explained")
FALLING = ("error",)
MAIN = "error"
RANGE = (0.0, float("inf"))
CHOOSE_BY = ("squared_error",)
OBJECTIVE = "error"
LABEL = "number"
NOUNS = ("number", "numbers")
NAMED = False
NOTED = ("scores",)
RANKED = ()
OPTIONAL = ()

# targets, of texts


def unfit(texts):
    for text in texts:
        try:
            float(text)
        except ValueError:
            return f"{text!r} is not a number; expected one number per example"
    return None


# record


class Scores(part.Scores):
    error: float
    interval: part.Interval
    explained: float
    n: int


# targets

DTYPE = np.float32


def named(texts):
    return (), float


def names_in_tfds(feature):
    return None


def missing(targets, names):
    return []


def text(target, names):
    return f"{target:g}"


def faults(names, where):
    return []


def width(names):
    return 1


def columns(targets, width):
    return targets[:, None].astype(np.float32)


def columns_in_graph(targets, width):
    return targets[:, None]


def weights(targets, width, balance):
    return np.ones(1, np.float32)


def weighed(columns, weights):
    return columns[:, 0] * 0 + 1


def strata(targets):
    if not len(targets):
        return np.zeros(0, np.int64)
    return np.searchsorted(np.quantile(targets, (0.25, 0.5, 0.75)), targets).astype(np.int64)


# layer

OUTPUT = "number"


def answer(raw):
    import keras

    return keras.layers.Activation("linear", name=OUTPUT, dtype="float32")(raw)


def losses(columns, raw):
    import tensorflow as tf

    return tf.reduce_sum((columns - raw) ** 2, -1)


def smoothed(columns, share):
    return columns


def explained(raw, answers):
    return raw[:, 0]


# losses


def support(raw, answers):
    return raw[:, 0]


def answers(raw):
    return np.asarray(raw, np.float64)


def of_each(answers, targets):
    return (answers[:, 0].astype(np.float64) - targets) ** 2


def fit_temperature(raw, targets):
    return 1.0


def raw_of(answers):
    return answers


def head_scores(answers, targets):
    return {"error": float(of_each(answers, targets).mean())}


def validated(raw, targets):
    error = head_scores(raw, targets)["error"] if np.isfinite(raw).all() else np.nan
    return {"val_loss": error, "val_error": error}


# head


def fits(x, targets, recipe, strengths):
    x = np.hstack([x, np.ones((len(x), 1))]).astype(np.float64)
    for strength in strengths:
        penalty = np.eye(x.shape[1]) / strength
        penalty[-1, -1] = 0
        solved = np.linalg.solve(x.T @ x + penalty, x.T @ targets)
        yield strength, [(solved[:-1, None], solved[-1:])]


def units(targets):
    return 1


def earlier(kernel, bias, known, names, examples):
    return None


# metrics

IN_SHORT = ("error", "interval", "n")


def measure(answers, targets, names):
    errors = of_each(answers, targets)
    mean, half = errors.mean(), 1.96 * errors.std() / np.sqrt(len(errors))
    return Scores(
        error=float(mean),
        interval=[max(0.0, float(mean - half)), float(mean + half)],
        explained=float(1 - mean / max(np.var(targets), 1e-9)),
        n=len(targets),
    )


def scores(answers, targets):
    return -of_each(answers, targets)


def score(measured, metric):
    return -measured[metric] if metric in FALLING else measured[metric]


def score_of_guessing(metric, names):
    return -100.0 if metric in FALLING else 0.0


def interval_of(error, n):
    return (error, error)


def worst(answers, targets, count):
    return np.argsort(-of_each(answers, targets), kind="stable")[:count].tolist()


def bootstrap(examples):
    return {}


# choice

MARGIN = 0.0


def kept(by, losses, scores, margin=None):
    return choose(losses)


def choose(losses):
    return min(losses, key=lambda name: losses[name].mean())


def gain(losses, name):
    return float((losses[next(iter(losses))] - losses[name]).mean(0).sum())


def may_gain(by, losses, scores, margin=None):
    return bool(losses.mean() > 0)


def uses_views(by):
    return True


def together(by, standing, margin=None):
    names = dict.fromkeys(name for own in standing for name in own)
    totals = {n: sum(own.get(n, own["head"])["squared_error"] for own in standing) for n in names}
    return min(totals, key=totals.get)


def described(losses, scores):
    error = float(losses[0].mean())
    return {"squared_error": error, "error": error}


def paired(scores, others):
    return {"won": int((scores > others).sum()), "lost": int((others > scores).sum())}


def against(scores, others):
    apart = scores - others
    mean, half = apart.mean(), 1.96 * apart.std() / np.sqrt(len(apart))
    interval = [float(mean - half), float(mean + half)]
    return {**paired(scores, others), "difference": float(mean), "interval": interval}


def noted(scores):
    return {"scores": np.round(scores, 6).tolist()}


def checked(record, n):
    found = record.get("scores")
    return {"scores": found} if isinstance(found, list) and len(found) == n else {}


def behind(best, other):
    if not best.get("scores") or not other.get("scores"):
        return None
    found = against(np.array(best["scores"]), np.array(other["scores"]))
    return (found["difference"], *found["interval"])


# exports

ANSWERS = "numbers"


def of_file(found, reference, targets):
    measured = measure(found, targets, ())
    return {
        "error": measured["error"],
        "interval": measured["interval"],
        "agreement": float((np.abs(found - reference) < 0.5).mean()),
        "max_abs_diff": float(np.abs(found - reference).max()),
        "n": len(targets),
    }


def lost(found, reference, targets, on):
    scale = max(float(np.var(targets)), 1e-9)
    apart = against(scores(reference, targets), scores(found, targets))
    return FileLoss(
        error=measure(found, targets, ()).error,
        lost=apart["difference"] / scale,
        interval=[end / scale for end in apart["interval"]],
        agreement=float((np.abs(found - reference) < 0.5).mean()),
        moved=moved(found, reference),
        n=len(targets),
        on=on,
    )


def moved(found, reference):
    return float(min(1.0, np.abs(found - reference).mean() / (reference.std() + 1e-9)))


def is_sound(verdict, bound):
    return verdict.lost <= bound and verdict.moved <= 0.2


def status(verdict, bound):
    return "ok" if verdict.interval[0] <= bound else f"loses {verdict.lost:.3f}"


# predictions


def header(names):
    return ["label", "prediction"]


def row(answer, target, names):
    return [f"{target:g}", f"{answer[0]:.6f}"]


def read(cells):
    return np.array([float(cells[1])])


def prediction_fields(answer, names):
    return {"prediction": round(float(answer[0]), 6)}


def score_of(row):
    return -((float(row["label"]) - float(row["prediction"])) ** 2)


# others


def coded(names, renamed):
    return float


def measured(answers, targets, names, renamed):
    return measure(answers, targets, names)


# words

SCORES = {"error": ("Squared error", "number"), "explained": ("Explained variance", "percent")}
ABOUT_SCORES = "Squared error: the lower, the better."
BEST = "has the least error"
COUNTS_RIGHT = False
ABOUT_INTERVALS = ""
SEVERAL = "Squared errors"
HEAD = "ridge regression"
ABOUT_GAIN = "by how much the sum of squared errors falls, mean over {views} of each."
OUTPUTS = {"number": "The number."}
LABELLED = None
TAG = "to-number"
CARD_METRICS = (("error", "mse", "Squared error"),)
STRANGER = "without a number gets one nevertheless."


def about(names, nouns):
    return "numbers", f"Predicts numbers from {nouns}."


def counted(names):
    return "numbers"


def line(value, on):
    return f"squared error {value} on {on}"


def mended(lost, on, moved):
    return f"lost {lost} on {on}, and its answers moved by {moved}"
