"""Tasks: the kinds of answer that a model can give. Only this folder knows about classes.

`TASKS` maps the name of each task to a package or a single module. Other code calls `of` with the
value of `task` in the config and the name of a part. The parts are listed below. In this list:

- targets are the labels of a split's examples as numbers (`Inputs.labels`);
- raw outputs come from the last layer with weights (the logits, for classes);
- answers are the model's output (the probabilities, for classes);
- candidates are the models of one training, of which one is kept: only the head trained (`head`),
  fine-tuned, and a model whose weights are the mean of both;
- `n` is the number of examples, and `width` the number of columns of raw outputs and answers.

names: constants against which a config is checked, such as the names of metrics. Imports nothing.
  METRICS, FALLING    names of all metrics; names of the metrics for which lower is better
  MAIN, RANGE         the main metric in tables, curves and folds; its smallest and largest value
  CHOOSE_BY           allowed values of `fit.choose_by`; `choice.described` returns a score for each
  CHOOSE_WITHOUT_VIEWS    the value of CHOOSE_BY that needs no augmented views. Required only if the
                      task has the part `labels`: the command `parallel` needs that part and this
                      constant
  OBJECTIVE           the default of `search.objective`
  LABEL               the word of error messages for the label of an example, as in `class name`
  NOUNS               the word for an answer, singular and plural: ("class", "classes")
  NAMED               True if answers have names, as classes do
  NOTED, RANKED       the keys of the dict that `choice.noted` returns, and of the dict that
                      `transfer.ranked` returns
  OPTIONAL            names of the optional parts that the task has, see "Optional parts" below
  MEANINGS            {name of a measure: its meaning} for each measure that is not a field of
                      `record.Scores`. The documentation is generated from it. Needed only if the
                      task is listed in `TASKS`

record: the scores of a split in `result.json`. Imports no NumPy.
  Scores              a pydantic model, see `tl_keras.run.result`, for the result of
                      `metrics.measure`

targets: from labels to training targets.
  unfit(texts) -> str or None     why labels in a table seem to belong to another task; None if they
                                  do not
  named(texts) -> (names, code)   the names of the answers, or () if they have none; and a function
                                  from a label's text to its target, which raises ValueError
  names_in_tfds(feature)          the label names of a feature of TensorFlow Datasets whose values
                                  are indices into them; None if the feature has no such names
  missing(targets, names) -> [name]   names of answers that no target has
  text(target, names) -> str      a label as text, as in the source or with the same meaning
  DTYPE                           dtype of an array of targets
  faults(names, where) -> [str]   reasons why a model cannot be trained on these names
  width(names) -> int             number of columns of raw outputs and of `columns`
  columns(targets, width) -> (n, width) float32       the targets of a training step
  columns_in_graph(targets, width)    the same for a batch of TensorFlow tensors
  weights(targets, width, balance) -> (width,) float32    the weight of each column in the loss;
                                  `balance` is `data.balance`
  weighed(columns, weights) -> (n,)   the weight of each example in the loss; `weights` is what the
                                  function `weights` returned. For NumPy arrays and TensorFlow
                                  tensors
  strata(targets) -> (n,) int64   the group of each example, such as its class; splits and folds
                                  divide each group in the same proportions, and with
                                  `data.balance: oversample` each group is read equally often

layer: the end of the model. Imports Keras.
  OUTPUT                          the name of the model's output
  answer(raw) -> Keras tensor     the layers after the last one with weights; built-in layers only
  losses(columns, raw) -> (batch,)    the losses of a training step
  smoothed(columns, share) -> columns with label smoothing (`fit.label_smoothing`)
  explained(raw, answers) -> (n,)     the differentiable score of each answer that heat maps explain

losses: losses and calibration of NumPy arrays.
  answers(raw) -> (n, width) float64
  of_each(answers, targets) -> (n,)   the loss of each example; candidates and heads are chosen by
                                  these losses
  fit_temperature(raw, targets) -> float     the divisor that calibrates raw outputs; 1 if a task
                                  needs no calibration
  raw_of(answers) -> raw outputs from which `layer.answer` computes these answers. If different
                                  raw outputs give the same answers, they must still do so after all
                                  are divided by the same temperature
  support(raw, answers) -> (n,)   how much raw outputs support given answers, such as log odds;
                                  words of texts are weighed by its change
  head_scores(answers, targets) -> dict   scores of the answers that a head gives, including MAIN
  validated(raw, targets) -> {"val_loss": ..., "val_...": ...}    the validation metrics of an epoch
                                  or of a fitted head

head: fits the head until it converges, on stored features; see `tl_keras.tasks.heads`.
  fits(x, targets, recipe, strengths) -> iterator of (strength, layers), by falling regularisation
  units(targets) -> int           number of columns of the kernel of the head's last layer
  earlier(kernel, bias, known, names, examples) -> `Earlier` or None   the head of an earlier run,
                                  from whose model this run starts; None if training cannot use it

metrics: scores of a split.
  measure(answers, targets, names) -> `record.Scores`
  IN_SHORT                        keys of the scores that are reported for models other than the
                                  run's own
  scores(answers, targets) -> (n,)    the quality of each answer, higher is better; paired
                                  comparisons use it
  score(measured, metric) -> float    the value of a metric, negated if lower is better; a search
                                  maximises it
  score_of_guessing(metric, names)    roughly the result of `score` for a model that has learned
                                  nothing
  worst(answers, targets, count) -> [index]   the examples with the worst answers, at most `count`,
                                  worst first
  interval_of(value, n) -> (low, high)    95% interval of MAIN on n examples, computed from `value`
                                  and n alone

intervals: 95% intervals by resampling, for the report.
  bootstrap(examples) -> {metric: [low, high]}    `examples` has one (label, prediction, probability
                                  of the label) for each example

choice: compares candidates, trials and approaches.
  kept(by, losses, scores, margin) -> name of the candidate to keep; `by` is `fit.choose_by`
  choose(losses) -> name of the candidate to keep, by losses only; `losses` maps the name of each
                                  candidate to its losses, `(1 + views, n)`; row 0 is for the
                                  unaugmented examples
  gain(losses, name) -> float     by how much the candidate's loss is lower than that of the first
                                  candidate
  may_gain(by, losses, scores, margin) -> bool    whether another candidate could be kept instead of
                                  the first; `losses` and `scores` are those of the first one
  uses_views(by) -> bool          whether the choice uses augmented views
  together(by, trainings, margin) -> name of the one candidate that several trainings, such as
                                  folds, keep in common; `trainings` has, for each training, the
                                  results of `described` by name of the candidate
  described(losses, scores) -> dict      scores of a candidate: {MAIN: ...} and one entry for each
                                  value of CHOOSE_BY
  paired(scores, others) -> {"won": ..., "lost": ...}     the number of examples on which the first
                                  model scores higher than the second; and the number on which
                                  it scores lower
  against(scores, others) -> dict     the result of `paired`, `difference` (mean score of the first
                                  model minus that of the second) and its 95% `interval`
  noted(scores) -> dict           what a trial's record stores for paired comparisons with other
                                  trials
  checked(record, n) -> dict      `n`, and the entries that `noted` wrote into a trial's record; {}
                                  if they are invalid, since a record from a file may contain
                                  anything. `n` is the number of validation examples
  behind(best, other) -> (difference, low, high) or None      how much lower the trial `other`
                                  scores than the trial `best`, with the ends of the 95% interval;
                                  None if their records do not suffice
                                  `margin` in these functions: the smallest gain for which another
                                  candidate than the first is kept; None for MARGIN
  MARGIN                          the smallest gain that counts as more than chance

exports: compares an exported file with the model (`reference`: the answers of the model).
  ANSWERS                         the word for answers in messages, such as `probabilities`
  of_file(answers, reference, targets) -> dict for the field `export` of `result.json`: MAIN,
                                  `agreement`, `max_abs_diff`, `n`
  lost(answers, reference, targets, on) -> `FileLoss`, including MAIN; `on` describes the examples
  moved(answers, reference) -> 0..1   how far the file's answers are from the model's, whether they
                                  are right or wrong
  is_sound(verdict, bound) -> whether a file needs no repair; `verdict` is the result of `lost`,
                                  `bound` is `export.max_accuracy_drop`
  status(verdict, bound) -> "ok", or what is wrong with the file, as a phrase that follows its name

predictions: `predictions.csv` and the rows of `predict`.
  header(names) -> columns after `file` and `split`; the first two are `label` and `prediction`
  row(answer, target, names) -> the cells of these columns
  read(cells) -> the answer, from cells as `row` returns them
  prediction_fields(answer, names) -> dict   the fields of an example in the output of `predict`
  score_of(row) -> the quality of the answer in a row of the file, as in `metrics.scores`

other_data: evaluation on a data set other than the model's own (`evaluate --data`).
  coded(names, renamed) -> function from a label's text to its target, or None for an unknown label
  measured(answers, targets, names, renamed) -> scores as in `metrics.measure`

words: texts for the report, the model card and the log.
  COUNTS_RIGHT                    True if an answer is simply right or wrong, and MAIN is the share
                                  of right answers. Then `record.Scores` has `classes`, `confusion`
                                  and `calibration_error`. If False, the report leaves out verdicts,
                                  classes, confusions, mistakes and charts of shares
  SCORES                          {metric: (name, "percent" or "number")}, in the order of tables
  ABOUT_SCORES                    sentences above the table of scores in the report
  ABOUT_GAIN                      follows `Gain: ` above the table of candidates
  BEST                            predicate of the best approach, as in `It is right most often`
  STRANGER                        follows `A picture ` in a sentence of the model card on examples
                                  that belong to no class
  ABOUT_INTERVALS                 follows `With 95% intervals` above a table of all scores
  SEVERAL                         the word for several values of MAIN, as in `Accuracies`
  HEAD                            the method that fits the head, as in `logistic regression`
  OUTPUTS                         {name of a model's output: its description in exported files}
  LABELLED                        (name of a model's output, description of the label file). The
                                  label file has a name for each column of this output. None if
                                  answers have no names
  TAG                             kind of the task in Hugging Face's model cards; it follows the
                                  modality as in `image-classification`
  CARD_METRICS                    the metrics in these model cards: for each, its key in the scores
                                  of `result.json`, Hugging Face's name of it, the displayed name
  about(names, nouns) -> (title, text)    the description of the model in exported files
  mended(lost, on, moved) -> str  what an exported file lost before its repair, as a phrase that
                                  follows the name of the file's format
  counted(names) -> str           the number of different answers, as in `3 classes`
  line(value, on) -> str          a phrase with MAIN for the first line of the report

Optional parts (`OPTIONAL`): `maybe` returns None if the task lacks the part.
  labels: finds doubtful labels; judges labels that a teacher model gives (the command `parallel`)
  abstain: when an exported model should abstain (`export.abstain`)
  transfer: how well features will transfer (`compare` ranks backbones by it); COLUMNS and ABOUT are
    for the report

A task imports only `run`, `config` and other modules of `tasks` from this package. Keras and
TensorFlow are imported only in `layer` and inside functions, because reports and config errors must
not need them.
"""

import importlib
from types import ModuleType

TASKS: dict[str, str] = {"classification": "tl_keras.tasks.classification"}
DEFAULT = "classification"
NOT_BUILT = ("multilabel", "regression", "transcription")
OPTIONAL = ("labels", "abstain", "transfer")


def of(task: str, part: str) -> ModuleType:
    """Returns the module that implements a part of a task, as in `of("classification", "metrics")`.

    If the task is a single module, that module contains all parts.
    """
    whole = importlib.import_module(TASKS[task])
    if not hasattr(whole, "__path__"):
        return whole
    return importlib.import_module(f"{TASKS[task]}.{part}")


def every(table: str) -> tuple[str, ...]:
    """Returns the entries of one constant of the part `names`, joined over all tasks.

    The constant, a tuple such as `METRICS`, is named by `table`. Repeated entries are left out.
    """
    return tuple(
        dict.fromkeys(name for task in TASKS for name in getattr(of(task, "names"), table))
    )


def maybe(task: str, part: str) -> ModuleType | None:
    """Returns the module of an optional part (one of `OPTIONAL`), or None if the task lacks it."""
    return of(task, part) if part in of(task, "names").OPTIONAL else None
