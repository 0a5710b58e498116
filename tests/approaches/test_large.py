"""A model of the size of BERT-base goes through a whole run. On request only; it takes minutes."""

import json
import os
import subprocess
import sys

import pytest
from text_models import BERT, write_model

GIB = 2**30
BASE = BERT | {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "vocab_size": 30_522,
}
# Prints the largest amount of memory that the process had, in KiB (Linux).
RUN = """
import json, resource, sys
import tl_keras
tree, folder = json.loads(sys.argv[1]), sys.argv[2]
tl_keras.audit(tree, folder + "/audit")
run = tl_keras.finetune(tree, folder + "/run")
assert run.result.model.parameters > 100_000_000
assert run.result.export["dynamic"].bytes < 120_000_000
assert any(part.keep for name, part in run.result.features.items() if name.startswith("layer_5"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_model_of_berts_size_trains_stores_and_exports_within_12_gib(tmp_path):
    if not os.environ.get("TL_KERAS_TEST_LARGE"):
        pytest.skip("TL_KERAS_TEST_LARGE is not set: a model of 110 million weights takes minutes")
    from tl_keras.modalities.text import tokens

    write_model(tmp_path / "encoder", BASE, words=tokens.of("english").tokens)
    tree = {
        "data": {"source": "intents", "examples_per_class": 4},
        "model": {"backbone": str(tmp_path / "encoder")},
        "fit": {"epochs": 1, "freeze": "layer_5", "margin": 0},
        "export": {"formats": ["dynamic"]},
        "cache": {"path": str(tmp_path / "cache")},
    }
    line = [sys.executable, "-c", RUN, json.dumps(tree), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.splitlines()[-1]) * 1024 < 12 * GIB
