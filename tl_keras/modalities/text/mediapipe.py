"""Writes a LiteRT file for MediaPipe's TextClassifier, which splits texts into tokens itself.

MediaPipe passes three inputs of a fixed length to the model, cuts texts off after this length, and
reads the vocabulary from the file. The files of other formats have the single input `token_ids`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import keras
import numpy as np
import tensorflow as tf

from tl_keras.data.batching.batches import read_chunks
from tl_keras.data.batching.inputs import CORES, Inputs
from tl_keras.data.batching.ragged import lengths_of
from tl_keras.export import parity
from tl_keras.export.description import Description
from tl_keras.export.formats import litert, metadata, saved_model
from tl_keras.export.formats.metadata import Unit, table, vector
from tl_keras.export.formats.saved_model import Abstains
from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.tokens.vocabulary import VOCAB
from tl_keras.run.files import not_a_pattern
from tl_keras.run.quiet import quiet

INPUTS = {  # MediaPipe finds each input by its name.
    "ids": "Token ids of a text; 0 is padding, at the end.",
    "segment_ids": "0 for each token.",
    "mask": "1 for each token, 0 for padding.",
}
COVERED = 0.99  # share of the training texts that the file takes as a whole
MULTIPLE = 16  # tokens
VOCABULARY_FILE = 5  # value of the enum AssociatedFileType
BERT_TOKENIZER = 4  # number in the union ProcessUnitOptions
PARSER = "1.1.0"  # the oldest version of a parser that knows the tokeniser of BERT


def write(
    model: keras.Model,
    file: Path,
    train: Inputs,
    abstains: Abstains | None,
    described: Description,
) -> None:
    """Writes a file that MediaPipe's TextClassifier runs: from a text to answers.

    Args:
      train: the training texts, whose lengths decide how many tokens the file takes.
      abstains: computes a second output, `abstain` (1 if the model abstains), from the
        answers; None to write the model without this output.

    Raises:
      ValueError: the model needs operators that LiteRT lacks, or the lengths of the training texts
        are unknown.
    """
    length = length_for(model, train, described.settings)
    serve = saved_model.serving(model, 1, abstains)
    specs = [tf.TensorSpec((1, length), tf.int32, name) for name in INPUTS]

    @tf.function(input_signature=specs, autograph=False)
    def classify(ids: tf.Tensor, segment_ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        # The converter drops inputs that do not affect the answer, but MediaPipe needs all three.
        return serve(ids * mask * (1 - segment_ids))

    with tempfile.TemporaryDirectory(dir=file.parent) as temporary, quiet():
        plain = Path(temporary, "plain")
        saved_model.save(plain, {"serve": classify})
        with not_a_pattern(plain) as path:
            content = litert.convert(path)
    words = tokens.of(described.settings.vocabulary).tokens
    unit = Unit(inputs, _tokeniser, {VOCAB: "".join(f"{word}\n" for word in words)}, PARSER)
    file.write_bytes(metadata.add(content, described, unit))


def length_for(model: keras.Model, train: Inputs, settings: TextConfig) -> int:
    """Returns how many tokens the file takes.

    If the model takes a fixed number of tokens, the file takes the same number. Otherwise it takes
    the smallest multiple of `MULTIPLE` that covers the share `COVERED` of the texts in `train`, but
    at most `text.length`.

    Raises:
      ValueError: the lengths of the texts in `train` are unknown.
    """
    if model.input.shape[1]:
        return int(model.input.shape[1])
    lengths = train.lengths
    if lengths is None or not len(lengths):
        raise ValueError(
            "export.formats: the length of a file of the format 'mediapipe' is decided by the "
            "training texts, but their lengths are unknown; expected other formats"
        )
    covering = int(np.quantile(lengths, COVERED, method="inverted_cdf"))
    multiple = -(-covering // MULTIPLE) * MULTIPLE
    return multiple if settings.longest is None else min(multiple, settings.longest)


def inputs(builder: flatbuffers.Builder, settings: TextConfig) -> list[int]:
    """Writes the FlatBuffers table `TensorMetadata` for each input, as `metadata.inputs` does."""
    text = builder.CreateString
    return [table(builder, 7, offset={0: text(n), 1: text(about)}) for n, about in INPUTS.items()]


def _tokeniser(builder: flatbuffers.Builder) -> int:
    """Writes the table `ProcessUnit` that names the tokeniser and its file."""
    strings = {0: builder.CreateString(VOCAB)}
    named = table(builder, 5, int8={2: VOCABULARY_FILE}, offset=strings)
    options = table(builder, 1, offset={0: vector(builder, [named])})
    return table(builder, 2, int8={0: BERT_TOKENIZER}, offset={1: options})


def longest(file: Path) -> int:
    """Returns how many tokens a file takes."""
    return int(parity.load_interpreter(file).get_input_details()[0]["shape"][1])


def load(file: Path) -> Callable[[Inputs], dict[str, np.ndarray]]:
    """Returns a function that runs a file on prepared texts, which it cuts off as MediaPipe does.

    The function returns `{output name: array (examples, ...)}`.
    """
    interpreter = parity.load_interpreter(file, CORES)
    places = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    length = longest(file)

    def run_one(ids: np.ndarray) -> dict[str, np.ndarray]:
        if len(ids) > length:
            ids = np.append(ids[: length - 1], ids[-1])  # The last token marks the end.
        values = np.zeros((len(INPUTS), 1, length), np.int32)  # ids, segment ids, mask
        values[0, 0, : len(ids)] = ids
        values[2, 0, : len(ids)] = 1
        for name, value in zip(INPUTS, values, strict=True):
            interpreter.set_tensor(places[name], value)
        interpreter.invoke()
        outputs = interpreter.get_output_details()
        return {out["name"]: interpreter.get_tensor(out["index"])[0] for out in outputs}

    def run(inputs: Inputs) -> dict[str, np.ndarray]:
        answers: list[dict[str, np.ndarray]] = [{}] * len(inputs)
        for rows, batch in read_chunks(inputs, 64):
            texts = np.asarray(batch)
            places = np.arange(len(inputs))[rows]
            for place, ids, count in zip(places, texts, lengths_of(texts), strict=True):
                answers[place] = run_one(ids[:count])
        return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}

    return run
