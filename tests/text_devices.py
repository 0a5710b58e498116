"""A small text model as a LiteRT file, texts to run it on, and the tokeniser in C++."""

import shutil
import subprocess
from pathlib import Path
from string import Template

import keras
import numpy as np

from tl_keras.data.batching import inputs
from tl_keras.export.description import Description, Examples
from tl_keras.export.formats import litert, metadata, saved_model
from tl_keras.modalities.text import bundle, prepare
from tl_keras.modalities.text.config import TextConfig

CLASSES = ["bad", 'so "so"', "gut"]
SENTENCES = [
    f"{a} {b}, {c}"
    for a in ("A dull film", "Great songs", "I was moved", "Such a waste", "Ça va")
    for b in ("and a long evening", "with weak jokes", "by good actors", "for children")
    for c in ("again.", "sadly!", "hurrah", "don't go", "10/10")
]
# Reads each text as a line with the number of bytes, and then the bytes.
CPP = """
#include <iostream>
#include "tokens.h"
int main(int, char** given) {
  const Tokens tokens(given[1], given[2]);
  if (!tokens.ready()) return 2;
  std::string size;
  while (std::getline(std::cin, size)) {
    std::string text(std::stoul(size), ' ');
    std::cin.read(&text[0], text.size());
    for (const auto& window : tokens.Encode(text)) {
      for (const int32_t id : window) std::cout << id << ' ';
      std::cout << '/';
    }
    for (const int32_t id : tokens.Pieces(text)) std::cout << ' ' << id;
    std::cout << std::endl;
  }
}
"""
COMPILE = ("g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-O2")
ABOUT = {"title": "Reviews", "about": "Says how a review is meant.", "by": "Version 1."}


def model_file(file: Path, num_tokens: int) -> None:
    """Writes a model of random token vectors as a LiteRT file."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    scale = keras.initializers.RandomNormal(stddev=2.0, seed=0)
    x = keras.layers.Embedding(num_tokens, 8, embeddings_initializer=scale)(ids)
    x = keras.layers.Dense(8, "tanh")(x)
    real = keras.ops.expand_dims(keras.ops.cast(ids > 0, "float32"), -1)
    mean = keras.ops.sum(x * real, 1) / keras.ops.maximum(keras.ops.sum(real, 1), 1.0)
    weights = keras.initializers.RandomNormal(stddev=8.0, seed=1)
    answer = keras.layers.Dense(3, "softmax", name="probabilities", kernel_initializer=weights)
    folder = file.with_suffix("")
    saved_model.write_plain(keras.Model(ids, answer(mean)), folder, 1, None)
    described = Description("m", "a", TextConfig(length=32), CLASSES, "1", None, None)
    file.write_bytes(metadata.add(litert.convert(folder), described))
    shutil.rmtree(folder)


def examples_of(
    settings: TextConfig, folder: Path | None, texts: list[str] = SENTENCES
) -> Examples:
    """Returns texts as examples; in files of a folder, if one is given."""
    rows = [prepare.prepare(text, settings) for text in texts]
    labels = np.arange(len(rows)) % len(CLASSES)
    paths = None
    if folder is not None:
        folder.mkdir()
        paths = [folder / f"{i}.txt" for i in range(len(rows))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
    return Examples(inputs.of_examples(labels, rows, settings), paths, "test")


def spec_of(location: str, length: int = 64) -> dict:
    """Returns the content of `spec.json` for a vocabulary."""
    settings = TextConfig(length=length, vocabulary=location)
    return bundle.spec_of(settings, CLASSES, "float32", 0.25)


def filled(folder: Path, name: str, spec: dict, fixed: int = 0) -> None:
    """Writes a template of the folder for a device, with its placeholders filled."""
    text = Template((bundle.FOLDER / name).read_text(encoding="utf-8"))
    values = bundle.words(spec, fixed)
    (folder / name).write_text(text.safe_substitute(values), encoding="utf-8")


def compiled(folder: Path, spec: dict) -> list[str]:
    """Compiles `CPP` with tokens.h, and returns the command that runs it."""
    bundle.write_tokeniser(folder, spec)
    filled(folder, "tokens.h", spec)
    (folder / "main.cc").write_text(CPP)
    subprocess.run([*COMPILE, "main.cc", "-o", "main"], cwd=folder, check=True)
    return [str(folder / name) for name in ("main", "vocab.txt", "characters.txt")]


def ids_of(command: list[str], contents: list[bytes]) -> list[tuple[list[int], ...]]:
    """Returns the ids that a program such as `CPP` gives to texts: each window, and all tokens."""
    sent = b"".join(b"%d\n%b" % (len(content), content) for content in contents)
    done = subprocess.run(command, input=sent, stdout=subprocess.PIPE, check=True)
    parts = [line.split("/") for line in done.stdout.decode().splitlines()]
    return [tuple([int(i) for i in part.split()] for part in line) for line in parts]
