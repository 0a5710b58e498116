"""What an example is. A modality is a folder with the same files in each; `part` gives one of them.

Nothing outside of such a folder knows what an example looks like. `settings` is the section of a
config that has the modality's name, as in `image: {size: 96}`. By file:

config: imports neither NumPy nor TensorFlow.
  SECTION                       the class of `settings`: with `modality`, the name; `shape` and
                                `dtype` of a prepared example, one tensor; and `augmentations`,
                                pydantic models of random operations, () where there are none
  SOURCES                       values of `data.source` that draw examples of this modality
  PREPARATION                   fields of `settings` that decide a prepared example
  SEARCHED, OF_THE_VIEWS        fields that a search may change; fields that change views alone
  NOUNS                         what an example is called, and several: ("image", "images")
  PLAIN_NOUNS                   the same, where the report speaks of what a person sees in them
  FOLDER_WORDS                  words for examples in names of folders, as in `train_images`
  OTHER_SUFFIXES                of files that lie beside examples, as in `.txt`
  SCALE, SMALLER                for messages: what values a model gets; what makes a model smaller
  check(config)                 raises ValueError where `settings` does not go with other sections
  check_input(file, shape, settings)   the same, where a user's own model does not take examples
  described(settings) -> str    the preparation in a few words, as in `160 px, stretch`
  extent(settings) -> str       the field that says how large an example is, as in `image.size 160`

check: what one file holds. Imports no TensorFlow.
  Checked                       a dataclass with `digest`, `looks`, `reason` and what else there is
  read(file, content, digest, settings, looks) -> Checked; raises what its decoder raises
  blame(start, error) -> str    why a file that begins with some bytes cannot be read
  warnings(checked) -> [str]    what is odd in files that can be read
  BY, bound(settings)           what a remembered check rests on
  session()                     a context manager around the checks of many files

prepare: the same every time.
  decoder(checked, settings, fraction)   from the index of a file and what it holds, a string,
                                to its prepared example, in a graph
  served(content, settings)     the same for a served model, by TensorFlow's operators alone
  prepare(raw, settings)        a prepared example of one in memory
  embedded(raw, settings)       prepared examples of those that a source drew, as an array
  BY                            versions that a prepared example rests on

augment: at random.
  num_columns(operations)       random numbers in [0, 1) that a view of an example takes
  augment(x, numbers, operations)   a batch in a random view, `numbers` of (batch, columns) float32
  mix(x, targets, operations, seed), mixes(operations)   examples of a batch mixed with each other

sources: where examples come from beside files.
  SOURCES                       by value of `data.source`, a function of a config to `drawn.Drawn`
  FEATURE                       the feature of TensorFlow Datasets that holds an example; None where
                                these have none, and then what follows is not called
  is_feature(feature) -> bool   whether a feature of that name holds examples
  check_feature(feature, name)  raises ValueError where these are of another type
  suffix_of(content) -> str     of a file for an encoded example

copies: MAX_EXAMPLES, SHAPE, with_similar_hashes, read_thumbnail, clusters   near-duplicates
examine: examine(dataset, inputs, settings) -> dict   findings; lines(findings) -> [str]
explain: pictures(model, dataset, inputs, answers, config, folder)   what the report shows
show: an example, and what was found in examples, for the report.
  thumbnails, written, image, explained    an example as HTML
  prepared, on_device           the preparation, and the shipped file's answers to files, in words
  findings(found) -> {title: HTML}    what `examine` found beside copies, labels and rare answers
  ODD                           parts of it with a list `odd` of examples, and what is unusual there
  WHY_ODD, EXPLAINED, NOT_EXPLAINED, SHIFTS    sentences, or parts of one, see those of image
predict_inputs: as_given(values) paths and examples in memory that people hand to `predict`
own_model: start, features, warn    what stands around a user's own model
bundle: TASKS, spec_of, measure, told, write    the folder `export/device/`, its proof
metadata: inputs(builder, settings)    what a LiteRT file says of its input
"""

import importlib
from types import ModuleType

# By name, the package of a modality: names alone, so that checking a config imports nothing slow.
MODALITIES: dict[str, str] = {"image": "tl_keras.modalities.image"}
DEFAULT = "image"  # Where neither the config nor the source says what an example is.


def nouns(modality: str) -> tuple[str, str]:
    """What an example of a modality is called, and several: `("image", "images")`."""
    return part(modality, "config").NOUNS


def plain_nouns(modality: str) -> tuple[str, str]:
    """The same, where people read what they see in examples: `("picture", "pictures")`."""
    return part(modality, "config").PLAIN_NOUNS


def part(modality: str, name: str) -> ModuleType:
    """A file of a modality's folder, as in `part("image", "prepare")`."""
    return importlib.import_module(f"{MODALITIES[modality]}.{name}")
