"""What an answer is: the one place that knows classes, numbers, or whatever a model answers with.

`TASKS` names a package, or a single module, for each task. All else asks it through `of`, by the
name that `task` of the config has, for one of these parts. Targets are what the examples of a split
have (`Inputs.labels`), raw outputs what the last layer with weights gives (for classes the
logits), answers what the model gives (for classes probabilities). `n` examples, `width` columns.

names: what a config is checked against; imports nothing.
  METRICS, FALLING    names of the metrics; of those where less is better
  MAIN, RANGE         the metric that tables, curves and folds show first; its least and most
  CHOOSE_BY           allowed values of `fit.choose_by`: keys of `choice.described`
  CHOOSE_WITHOUT_VIEWS    of CHOOSE_BY, one that needs no augmented views; with the part labels
  OBJECTIVE           the default of `search.objective`
  LABEL               for messages: what the text of a label is, as in `class name`
  NOUNS               what an answer is called, and several: ("class", "classes")
  NAMED               whether answers have names, as classes have
  NOTED, RANKED       keys of `choice.noted`, and of `transfer.ranked`
  OPTIONAL            which of the parts named in `OPTIONAL` below the task has
  MEANINGS            for the documentation: {name of a measure: what it means}, of the measures
                      that `record.Scores` does not declare; only for tasks in `TASKS`

record: how `result.json` has a split's scores; imports no NumPy.
  Scores              a model, see `tl_keras.run.result`, of what `metrics.measure` gives

targets: what an example's target is.
  unfit(texts) -> str or None     why the labels of a table look like those of another task
  named(texts) -> (names, code)   names of the answers, () where answers have no names; `code` turns
                                  one text of a label into a target and raises ValueError
  names_in_tfds(feature) -> names of the labels that a feature of TensorFlow Datasets has, whose
                                  values are places among them; None where it has no such labels
  missing(targets, names) -> [name]   names of the answers that none of the targets has
  text(target, names) -> str      the label that the source had, or one that means the same
  DTYPE                           of an array of targets
  faults(names, where) -> [str]   why nothing can be trained on these names
  width(names) -> int             columns of the raw outputs and of what a step is trained on
  columns(targets, width) -> (n, width) float32       what a step is trained on
  columns_in_graph(targets, width) -> the same as TensorFlow tensors, of a batch
  weights(targets, width, balance) -> (width,) float32       what `weighed` takes
  weighed(columns, weights) -> (n,) weights of the loss of each example; NumPy or TensorFlow
  strata(targets) -> (n,) int64   groups that splits, folds and balanced orders hold in their shares

layer: the end of the model; imports Keras.
  OUTPUT                          the name of the model's output
  answer(raw) -> Keras tensor     behind the last layer with weights; built-in layers only
  losses(columns, raw) -> (batch,) of a step
  smoothed(columns, share) -> columns, by `fit.label_smoothing`
  explained(raw, answers) -> (n,) what heat maps explain: a differentiable score of each answer

losses: of NumPy arrays.
  answers(raw) -> (n, width) float64
  of_each(answers, targets) -> (n,) the loss that candidates and heads are chosen by
  fit_temperature(raw, targets) -> float     by which raw outputs are divided to be calibrated; 1
  raw_of(answers) -> raw outputs, up to what calibration does not see
  stands(answers, targets) -> dict   scores of a head on a part of the examples, MAIN among them
  validated(raw, targets) -> {"val_loss": ..., "val_...": ...}, of an epoch or a tried head

head: the converged head on features, see `tl_keras.tasks.heads`.
  fits(x, targets, recipe, strengths) -> iterator of (strength, layers), by falling regularisation
  units(targets) -> int           columns of the kernel
  earlier(kernel, bias, known, names, examples) -> Earlier or None     of a chain

metrics: scores of a split.
  measure(answers, targets, names) -> `record.Scores`
  IN_SHORT                        keys of it that are told of others than the model
  scores(answers, targets) -> (n,) how good each answer is, the more the better: what pairs compare
  score(measured, metric) -> float, the more the better; the search's
  score_of_guessing(metric, names) -> the same, about that of a model that has learned nothing
  worst(answers, targets, count) -> places of the worst answers
  interval_of(value, n) -> (low, high) of MAIN on n examples, where a page knows no more

intervals: 95% intervals by resampling, for the report.
  bootstrap(examples) -> {metric: [low, high]} of (label, prediction, probability of the label)

choice: which of two is better, and by how much.
  kept(by, losses, scores) -> name of the candidate that is kept, by `fit.choose_by`
  choose(losses) -> the same by losses alone, `(1 + views, n)` each
  gain(losses, name) -> float     by how much a candidate's losses are less than the first one's
  may_gain(by, losses, scores) -> whether another could be kept over a first candidate
  uses_views(by) -> bool          whether a choice looks at augmented views
  together(by, standing) -> name that several trainings keep, by records of `described`
  described(losses, scores) -> dict      of a candidate: MAIN, and all of CHOOSE_BY
  paired(scores, others) -> {"won": ..., "lost": ...}
  against(scores, others) -> the same, `difference` and its 95% `interval`: above 0 is better
  noted(scores) -> dict           what a trial's record keeps of each example
  checked(record, n) -> dict      the same of a record that may hold anything; {} where it is wrong
  behind(best, other) -> (difference, low, high) of two trials by that, or None
  MARGIN                          the least sum of losses that is no chance

exports: a file of another format beside the model.
  ANSWERS                         what answers are, in messages
  of_file(found, reference, targets) -> dict for `export`: MAIN, `agreement`, `max_abs_diff`, `n`
  lost(found, reference, targets, on) -> `FileLoss`, MAIN among its measures
  moved(found, reference) -> 0..1 how far answers move, whether that is right or wrong
  is_sound(verdict, bound) -> whether a file needs no mending, by `export.max_accuracy_drop`
  status(verdict, bound) -> "ok", or by how much a file misses the bound

predictions: `predictions.csv` and rows of `predict`.
  header(names) -> columns after `file` and `split`; the first is `label`, the second `prediction`
  row(answer, target, names) -> their cells
  read(cells) -> answers of such cells
  told(answer, names) -> dict     what `predict` says of an example
  score_of(row) -> how good a line of the file is, as `metrics.scores`

other_data: another data set than the model's own (the command `evaluate --data`).
  coded(names, renamed) -> function of a label's text to its target; None where it is a stranger
  measured(answers, targets, names, renamed) -> as `metrics.measure`

words: what the report, the card and the log say.
  COUNTS_RIGHT                    whether answers are right or wrong and MAIN is the share of right
                                  ones; if so, `record.Scores` has `classes`, `confusion` and
                                  `calibration_error`, if not, the report leaves out verdicts,
                                  classes, confusions, mistakes and charts of shares
  SCORES                          {metric: (name, "percent" or "number")}, in the order of tables
  ABOUT_SCORES, ABOUT_GAIN, BEST, STRANGER    sentences, or parts of one, see classification's
  ABOUT_INTERVALS                 what follows `With 95% intervals` in a table of all scores
  SEVERAL                         what several values of MAIN are called, as in `Accuracies`
  HEAD                            what fits the converged head, as in `logistic regression`
  OUTPUTS                         {name of a model's output: what files say of it}
  LABELLED                        the output that a label file is for, and what the file is; None
                                  where answers have no names
  TAG, CARD_METRICS               of Hugging Face's cards: the kind of task, which stands behind the
                                  modality, as in `image-classification`; (key, kind, name)
  about(names, nouns) -> (title, text)    what exported files say of themselves
  mended(lost, on, moved) -> str  what a file lost before it was mended
  counted(names) -> str           what a data set has answers of, as in `3 classes`
  line(value, on) -> str          MAIN in the report's first line

Parts that a task may lack (`OPTIONAL`): `maybe` gives None, and whoever asked does without.
  labels: doubts about given labels, labels that a teacher gives (the command parallel)
  abstain: when an exported model had better not decide (`export.abstain`)
  transfer: how well features will transfer (`compare` ranks backbones by it); COLUMNS and ABOUT are
    for the report

Of the package a task imports `run` and `config`, and others of `tasks`. Keras and TensorFlow are
imported in `layer` and inside functions alone: reports and config errors need neither.
"""

import importlib
from types import ModuleType

TASKS: dict[str, str] = {"classification": "tl_keras.tasks.classification"}
DEFAULT = "classification"
NOT_BUILT = ("multilabel", "regression", "transcription")
OPTIONAL = ("labels", "abstain", "transfer")


def of(task: str, part: str) -> ModuleType:
    """The module of a task that has a part, as in `of("classification", "metrics")`.

    A task that is one module has all parts in it.
    """
    whole = importlib.import_module(TASKS[task])
    if not hasattr(whole, "__path__"):
        return whole
    return importlib.import_module(f"{TASKS[task]}.{part}")


def every(table: str) -> tuple[str, ...]:
    """The entries of a table of `names`, as in `every("METRICS")`, of all tasks."""
    return tuple(
        dict.fromkeys(name for task in TASKS for name in getattr(of(task, "names"), table))
    )


def maybe(task: str, part: str) -> ModuleType | None:
    """The module of a part that a task may lack, one of `OPTIONAL`; None where it does."""
    return of(task, part) if part in of(task, "names").OPTIONAL else None
