"""What an example is. A modality is a folder with the same files in each; `part` gives one of them.

Nothing outside of such a folder knows what an example looks like. By file, what it has:

`config` (imports neither NumPy nor TensorFlow)
    `Settings`: the section of a config that has the modality's name. Its properties `shape` and
    `dtype` say what a model takes, one tensor an example; `augmentations` is a tuple of random
    operations, empty where examples are shown as they are.
    `SOURCES`: values of `data.source` that draw their examples themselves.
    `PREPARATION`: fields of the section that decide a prepared example.
    `SEARCHED`: fields of the section that a search may change; `OF_THE_VIEWS`: those of them that
    change random views alone.
    `check(config)`: raises ValueError where the section does not go with the others.
    `check_input(file, shape, settings)`: the same, where a user's own model does not take examples.
    `described(settings)`: the preparation in a few words, as in `160 px, stretch`.
`check`
    `check(path, settings, looks)`, `check_content(content, settings)`: a `data.checked.Checked`.
    `CHECKED_BY`: versions that a remembered check rests on; `bound(settings)`: its limits.
    `session()`: a context manager around many checks.
    `warnings(checked)`: what is odd in files that can be read, a line a kind.
    `NAMES`: what files are called, as in `("image", "images")`.
`prepare`
    `decoder(examples, settings, fraction)`: from an example's index and a file's content to a
    prepared tensor; `prepared(settings)`: the same for content that stands in no list.
    `embedded(raw, settings)`: prepared examples of raw ones that a source drew.
    `BY`: versions that prepared examples rest on.
`augment`
    `num_columns(operations)`: random numbers in 0..1 that a view of an example takes.
    `augment(x, numbers, operations)`: a batch in a random view.
    `mix(x, targets, operations, seed)`: a batch whose examples are mixed with each other;
    `mixes(operations)`: whether any operation does.
`sources`
    `SOURCES`: by value of `data.source`, a function that gives a `data.examples.Drawn`.
`copies`
    `thumbnails(files)`, `clusters(thumbnails)`, `with_similar_hashes(looks)`: near-duplicates.
`examine`
    `examine(dataset, inputs, settings)`: findings on the examples, for `findings.json`;
    `lines(findings)`: what was found in them, in words.
`explain`
    `pictures(model, data, probabilities, config, folder)`: what the report shows of answers.
`show`
    `thumbnails(run, files)`, `written(run, name)`, `image(...)`: an example as HTML.
`given`
    `as_given(values)`: what people hand to `predict`: paths, and examples in memory.
`bundle`
    `spec_of`, `measure`, `write`: the folder `export/device/`, and the proof that it works.
`metadata`
    `add(content, described)`: what other readers look for inside a LiteRT file.
`signature`
    `decoded(content, settings)`: raw content to a prepared example, in a SavedModel's graph.
"""

import importlib
from types import ModuleType

# By name, the package of a modality: names alone, so that checking a config imports nothing slow.
MODALITIES: dict[str, str] = {"image": "tl_keras.modalities.image"}


def part(modality: str, name: str) -> ModuleType:
    """A file of a modality's folder, as in `part("image", "prepare")`."""
    return importlib.import_module(f"{MODALITIES[modality]}.{name}")
