"""Modalities: the kinds of example that a model can take, such as images. Each is a folder.

All folders have the same files, and `part` imports one file of one folder. Code outside these
folders does not know what an example looks like. In this list:

- `settings` is the section of the config with the modality's name, as in `image: {size: 96}`;
- a prepared example is what the model takes: for an image, its decoded and resized values;
- a view is a randomly augmented version of a prepared example;
- a source is a value of `data.source` for which the package generates the examples.

config: the section of the config. Imports neither NumPy nor TensorFlow.
  SECTION                       the class of `settings`, with the attributes `modality` (the name),
                                `shape` and `dtype` (of a prepared example, one tensor) and
                                `augmentations` (pydantic models of random operations; may be ()).
                                If the first size of `shape` is None, examples have any length, and
                                zeros at their end are padding
  SOURCES                       values of `data.source` that generate examples of this modality
  PREPARATION                   fields of `settings` that affect a prepared example
  OBJECTIVES                    values of `pretrain.objective` that need no labels; each has a
                                module `objectives.NAME`
  SEARCHED                      fields of `settings` that a search may change
  OF_THE_VIEWS                  fields of `settings` that affect views, but no prepared example
  DEFAULTS                      defaults of other sections for this modality, as in
                                {"model": {"backbone": "MobileNetV2"}}
  SUFFIXES                      suffixes of the files of examples; see `config.detect`
  COLUMN                        name of the column of a table whose cells are examples; None if
                                tables only name the files of examples
  NOUNS                         the word for an example, singular and plural: ("image", "images")
  PLAIN_NOUNS                   the everyday word for an example, in advice and in messages about
                                files, singular and plural: ("picture", "pictures")
  FOLDER_WORDS                  words for examples in folder names, as in `train_images`
  OTHER_SUFFIXES                suffixes of files that are not examples but often lie beside them,
                                as in `.txt`
  SCALE                         for messages: the range of input values, as in `pixels in 0..255`
  SMALLER                       for messages: the change of `settings` that makes examples smaller
                                and thus a model faster, as in `a smaller image.size`
  refused(name, settings)       why a format of `export.formats` cannot be made; None if it can
  check(config)                 raises ValueError if `settings` contradicts another section
  check_input(file, shape, settings)   raises ValueError if the model file of a user does not accept
                                prepared examples
  kept(settings, folder)        the settings with which new examples are prepared for the model of a
                                run, see `prepare.keep`
  for_students(settings, folder)   the settings of students of `parallel` that have a backbone of
                                their own; `folder` is that of the run
  described(settings) -> str    the preparation in a few words, as in `160 px, stretch`
  extent(settings) -> str       the field that sets the size of an example, as in `image.size 160`

check: checks the content of one file. Imports no TensorFlow.
  Checked                       the result, a dataclass with `digest` (SHA-256), `looks` (hashes by
                                which near-duplicates are found), `reason` (why the file cannot be
                                used) and further fields of the modality
  read(file, content, digest, settings, looks) -> Checked   decodes a file, and if `looks` is true
                                computes the hashes. `content` is a function that returns the bytes
                                of the file. Errors of the decoder are not caught
  blame(start, error) -> str    why a file cannot be read, from its first bytes and the error that
                                `read` raised
  warnings(checked) -> [str]    warnings about readable files
  BY, bound(settings)           library versions, and the settings that affect a check. If one of
                                them changes, cached results are dropped
  session()                     a context manager around the checks of many files

prepare: deterministic preparation, the same for training, evaluation and serving.
  decoder(checked, settings, fraction)   a graph function from (index of a file, its content as a
                                string) to the prepared example. If `fraction`, large files may be
                                decoded at a reduced size, for training
  served(contents, settings)    a batch of prepared examples from the contents of files,
                                `(batch,) string`, with TensorFlow operators only, as exported
                                models need it. Examples longer than the model takes are cut off
  is_served(settings) -> bool   whether `served` works with these settings
  prepare(raw, settings)        the prepared example from a decoded one
  windows(example, settings)    the windows of a prepared example, at least one; several if the
                                example is longer than the model takes. This function and the next
                                one are needed only if the lengths of examples differ
  shortened(example, settings)  the start of a prepared example, as long as the model takes
  for_students(settings, contents, folder)   writes into the folder of a run of `parallel` what
                                `config.for_students` names, from the contents of all training
                                examples
  embedded(raw, settings)       prepared examples from the examples that a source generated
  keep(settings, folder)        writes into a run's folder what the preparation of new examples
                                needs besides the settings, such as a vocabulary
  by(settings)                  a dict of everything else that affects a prepared example, such as
                                versions of libraries
  unchanging(settings)          {name: digest} of the files that fields of `settings` name, and that
                                must not change before the run is finished

augment: random augmentation.
  num_columns(operations)       number of random numbers in [0, 1) that one view needs
  augment(x, numbers, operations)   one view of each example of a batch; `numbers` is
                                (batch, columns) float32
  mix(x, targets, operations, seed)   mixes examples of a batch with each other, as MixUp does
  mixes(operations) -> bool     whether one of the operations mixes examples

sources: examples that do not come from a user's files.
  SOURCES                       {source: function}; the function takes a config and returns the
                                examples as a `drawn_source.Drawn`
  FEATURE                       name of the TensorFlow Datasets feature that holds an example; if
                                None, `is_feature`, `check_feature` and `suffix_of` are never called
  is_feature(feature) -> bool   whether a feature holds examples of this modality
  check_feature(feature, name)  raises ValueError if the feature has an unsupported type
  suffix_of(content) -> str     file suffix for an encoded example

copies: finds near-duplicates.
  MAX_EXAMPLES                  largest number of examples that are compared with each other
  SHAPE                         shape of a thumbnail: a small array that stands for an example
  read_thumbnail(content)       the thumbnail of a file, from its content
  with_similar_hashes(looks)    indices of the examples that may have near-duplicates
  clusters(thumbnails)          groups of near-duplicates, each a list of indices

examine: lists examples that people should look at, such as unusually dark images.
  examine(dataset, inputs, settings) -> dict    the findings
  lines(findings) -> [str]      the findings as lines of the log

explain: pictures(model, dataset, inputs, answers, config, folder)   writes what the report shows of
                                single examples, and `index.json` with the lists `mistakes`,
                                `augmented` and perhaps `right`, see `text/explain.py`

show: HTML and sentences about examples, for the report.
  thumbnails(run, files)        a small picture of each file, or the beginning of a text
  written(run, name)            a picture or a text that `explain` wrote; `name` is the value in
                                index.json
  image(picture, alt)           a picture or a text as HTML
  explained(run, heat, original, file, answer) -> [HTML]    an example with the parts that support
                                an answer: `heat` is what `written` returned, `original` what
                                `thumbnails` returned, or None
  prepared(settings) -> str     describes the model's input in a few words
  on_device(device, right) -> str    sentences on the scores of the shipped file on original files
  findings(examined) -> {title: HTML}    findings of `examine` that only this modality has
  more_detail(settings, examined)    a change of the config by which the model sees more detail,
                                and a sentence that says why; None if the files have no more detail
  ODD                           {key of a finding with a list `odd` of unusual examples: word for
                                what is unusual, such as `size`}
  WHY_ODD, EXPLAINED, NOT_EXPLAINED, NOT_EXPLAINED_IN_FOLDS, SOME_NOT_EXPLAINED
                                sentences of the report, as in `image/show.py`
  AS_ON_DEVICE                  part of a sentence on a score: how examples were prepared, such as
                                `files are decoded as on a device`
  LARGER                        title of the advice that `more_detail` gives
  BACKBONES                     two backbones that are accurate for their size, of which the report
                                advises the first one that the run does not have, see
                                `on_improving.on_models`
  SHIFTS                        part of a sentence: conditions in which a model may do worse, such
                                as `other cameras`

predict_inputs: what the user gives to `predict`.
  ON_COMMAND_LINE               for messages: what the command accepts
  as_given(values)              a list of paths and in-memory examples

own_model: layers around the model file of a user.
  start(settings, preprocessing, dtype)    a model that runs before the user's model
  features(x)                   the features, from the output of the user's model
  warn(file, normalises, preprocessing)    warns if nothing normalises the input

bundle: writes the folder `export/device/`.
  TASKS                         the tasks for which the folder can be written
  spec_of(...) -> dict          the content of `spec.json`
  measure(file, spec, examples)   scores of the shipped file on original files
  measured_sentence(device) -> str    these scores as a sentence
  write(...)                    writes the folder

objectives.NAME: an objective of pre-training without labels. Imports TensorFlow only in functions.
  check(config)                 raises ValueError if the config does not suit the objective
  begin(config, contents, folder, anew)    the `settings` with which examples are prepared.
                                `contents` are the training examples as bytes. Files that later runs
                                need are written to the run's folder if `anew`, else read from there
  pieces(content, settings)     the prepared examples that are made of one example, perhaps none
  TOO_FEW                       part of a sentence: which examples give none
  facts(settings) -> {name: number}    for `result.json`
  network(backbone, model)      a model with the inputs and raw outputs of a training step; `model`
                                is the section of the config
  batcher(config, settings)     a function from prepared examples, padded, and a seed (integers) to
                                the inputs, targets and weights of a training step, as NumPy arrays
  losses(targets, outputs), smoothed(targets, smoothing)    as in the part `layer` of a task
  sums(targets, outputs, weights)    sums over a batch, a vector, from which `measures` computes
  measures(sums) -> {name: number}    measures of a split, such as `loss`, and the number of
                                `guesses` from which they are computed; these two must be among them
  MEASURES                      {name of a measure: its title in the report}
  headline(measures) -> str     the measures of the validation set in one line

metadata: inputs(builder, settings)    writes the description of the input into a LiteRT file

mediapipe: writes a file of the format `mediapipe`; not needed if `refused` refuses this format.
  write(model, file, train, abstains, described)   writes the file
  load(file)                    a function that runs the file on prepared examples, see
                                `export.parity.Runner`; longer examples are cut off
  longest(file) -> int          the length of the longest example that the file takes
"""

import importlib
from types import ModuleType

# Package of each modality, as a string, so that checking a config imports nothing slow.
MODALITIES: dict[str, str] = {
    "image": "tl_keras.modalities.image",
    "text": "tl_keras.modalities.text",
}
DEFAULT = "image"  # The modality if neither the config nor the source names one.


def nouns(modality: str) -> tuple[str, str]:
    """Returns the word for an example, singular and plural: `("image", "images")`."""
    return part(modality, "config").NOUNS


def plain_nouns(modality: str) -> tuple[str, str]:
    """Returns the everyday word for an example, singular and plural: `("picture", "pictures")`."""
    return part(modality, "config").PLAIN_NOUNS


def part(modality: str, name: str) -> ModuleType:
    """Imports and returns one file of a modality's folder, as in `part("image", "prepare")`."""
    return importlib.import_module(f"{MODALITIES[modality]}.{name}")
