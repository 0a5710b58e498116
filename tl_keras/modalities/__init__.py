"""Modalities: the kinds of example that a model can take. Each modality is a folder.

All folders have the same files, and `part` imports one file of one folder. Code outside these
folders does not know what an example looks like. Below, `settings` is the section of the config
with the modality's name, as in `image: {size: 96}`. The files and their functions:

config: the section of the config. Imports neither NumPy nor TensorFlow.
  SECTION                       the class of `settings`, with the attributes `modality` (the name),
                                `shape` and `dtype` (of a prepared example, one tensor) and
                                `augmentations` (pydantic models of random operations; may be ())
  SOURCES                       values of `data.source` that generate examples of this modality
  PREPARATION                   fields of `settings` that affect a prepared example
  SEARCHED                      fields of `settings` that a search may change
  OF_THE_VIEWS                  fields of `settings` that affect only the random views
  NOUNS                         the word for an example, singular and plural: ("image", "images")
  PLAIN_NOUNS                   the words that the report uses where people look at examples
  FOLDER_WORDS                  words for examples in folder names, as in `train_images`
  OTHER_SUFFIXES                suffixes of other files that often lie beside examples, as in `.txt`
  SCALE, SMALLER                for messages: the range of input values; how to make a model faster
  check(config)                 raises ValueError if `settings` contradicts another section
  check_input(file, shape, settings)   raises ValueError if a user's model cannot take the examples
  described(settings) -> str    the preparation in a few words, as in `160 px, stretch`
  extent(settings) -> str       the field that sets the size of an example, as in `image.size 160`

check: checks the content of one file. Imports no TensorFlow.
  Checked                       a dataclass with `digest`, `looks`, `reason` and more of its own
  read(file, content, digest, settings, looks) -> Checked; raises what its decoder raises
  blame(start, error) -> str    why a file cannot be read, by its first bytes and the error
  warnings(checked) -> [str]    warnings about readable files
  BY, bound(settings)           versions and settings; if either changes, files are checked again
  session()                     a context manager around the checks of many files

prepare: deterministic preparation, the same for training, evaluation and serving.
  decoder(checked, settings, fraction)   a graph function: (index of a file, its content as a
                                string) to the prepared example
  served(content, settings)     the same for a served model, with TensorFlow operators only
  prepare(raw, settings)        the prepared example of a decoded one
  embedded(raw, settings)       an array of prepared examples, from those that a source generated
  BY                            library versions that affect a prepared example

augment: random augmentation.
  num_columns(operations)       number of random numbers in [0, 1) that one view needs
  augment(x, numbers, operations)   a random view of a batch; `numbers` is (batch, columns) float32
  mix(x, targets, operations, seed), mixes(operations)   mixing of examples within a batch

sources: examples that do not come from a user's files.
  SOURCES                       by value of `data.source`, a function of a config that returns a
                                `drawn_source.Drawn`
  FEATURE                       name of the TensorFlow Datasets feature that holds an example; if
                                None, the functions below are never called
  is_feature(feature) -> bool   whether a feature holds examples of this modality
  check_feature(feature, name)  raises ValueError if the feature has an unsupported type
  suffix_of(content) -> str     file suffix for an encoded example

copies: MAX_EXAMPLES, SHAPE, with_similar_hashes, read_thumbnail, clusters   near-duplicates
examine: examine(dataset, inputs, settings) -> dict   findings; lines(findings) -> [str]
explain: pictures(model, dataset, inputs, answers, config, folder)   writes the report's pictures
show: HTML and sentences about examples, for the report.
  thumbnails, written, image, explained    examples as HTML
  prepared, on_device           sentences: the preparation; scores of the shipped file on raw files
  findings(found) -> {title: HTML}    findings of `examine` that only this modality has
  more_detail(settings, found)  a field and a sentence if the model sees less than the files have
  ODD                           keys of the findings that list examples as `odd`, and the property
                                in which these examples are unusual
  WHY_ODD, EXPLAINED, NOT_EXPLAINED, NOT_EXPLAINED_IN_FOLDS, SOME_NOT_EXPLAINED, SHIFTS
                                sentences, or parts of one; see those of image
predict_inputs: as_given(values)   paths and in-memory examples from the arguments of `predict`
own_model: start, features, warn    layers before and after a user's own model
bundle: TASKS, spec_of, measure, measured_sentence, write    the folder `export/device/`
metadata: inputs(builder, settings)    the input's description in a LiteRT file
"""

import importlib
from types import ModuleType

# Package of each modality, as a string, so that checking a config imports nothing slow.
MODALITIES: dict[str, str] = {"image": "tl_keras.modalities.image"}
DEFAULT = "image"  # The modality if neither the config nor the source names one.


def nouns(modality: str) -> tuple[str, str]:
    """Returns the word for an example, singular and plural: `("image", "images")`."""
    return part(modality, "config").NOUNS


def plain_nouns(modality: str) -> tuple[str, str]:
    """Returns the report's words for examples that people look at: `("picture", "pictures")`."""
    return part(modality, "config").PLAIN_NOUNS


def part(modality: str, name: str) -> ModuleType:
    """Imports and returns one file of a modality's folder, as in `part("image", "prepare")`."""
    return importlib.import_module(f"{MODALITIES[modality]}.{name}")
