"""Trains SetFit and answers test texts. Runs in an environment of its own, which has setfit.

    python benchmarks/text_setfit.py REQUEST.json ANSWER.json

benchmarks/text.py writes the request and reads the answer.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the predicted classes and the seconds of training, without the imports."""
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    started, cpu = time.monotonic(), time.process_time()
    model = SetFitModel.from_pretrained(request["model"])
    rows = Dataset.from_dict({"text": request["texts"], "label": request["labels"]})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=16,
            num_epochs=1,
            num_iterations=request["iterations"],
            seed=request["seed"],
            save_strategy="no",
            report_to="none",
        )
        Trainer(model=model, args=arguments, train_dataset=rows).train()
    predicted = [int(label) for label in model.predict(request["test"], show_progress_bar=False)]
    seconds = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
    return {"predicted": predicted, "own": seconds}


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(json.dumps(answer(json.loads(source.read_text(encoding="utf-8")))))
