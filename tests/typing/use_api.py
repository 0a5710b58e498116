"""A user's program, which mypy checks in strict mode as users do. It never runs.

A line that mypy must refuse has `type: ignore` with the expected error: mypy reports an ignore that
nothing needs.
"""

from pathlib import Path
from typing import Any

import numpy as np

import tl_keras


def accuracy_of_best_file() -> float:
    run = tl_keras.finetune({"data": {"path": "photos"}, "fit": {"epochs": 3}}, "runs/photos")
    shipped = run.result.shipped.path
    print(run.report.name, run.workdir / shipped, run.config.image.size, run.config.fit.epochs)
    per_class = {name: scores.recall for name, scores in run.result.test.classes.items()}
    print(per_class, run.result.test.interval[0], run.result.seconds["total"])
    print(run.result.model.backbone, run.result.export["int8"].accuracy)
    print(run.findings.get("suspects"), run.result["test"]["accuracy"])
    return run.result.test.accuracy


def is_finished(folder: Path) -> bool:
    return tl_keras.load(folder).result is not None


def predictions(folder: str | Path) -> list[dict[str, Any]]:
    run = tl_keras.load(folder)
    rows = tl_keras.predict(run, [np.zeros((96, 96, 3), np.uint8), "cat.jpg"])
    return rows + tl_keras.predict(folder, Path("photos"))


def every_command(config: Path) -> Path:
    loaded = tl_keras.load("runs/photos").config
    runs = [
        tl_keras.audit(config, "runs/audit"),
        tl_keras.compare(str(config), Path("runs/compare")),
        tl_keras.cross_validate(loaded, "runs/folds"),
        tl_keras.parallel(loaded, "runs/parallel"),
        tl_keras.pretrain(loaded, "runs/pretrain"),
        tl_keras.search(loaded, "runs/search"),
        tl_keras.quickstart(modality="text"),
    ]
    best = runs[5].result.search.best
    folds = [fold.n for fold in runs[2].result.folds]
    recommended = runs[1].result.recommended.best
    print(best.upper(), sum(folds), recommended, tl_keras.__version__.split("."))
    tl_keras.export(runs[5], {"formats": ["int8", "float16"]})
    measured = tl_keras.evaluate(runs[5], "other_photos", classes={"tabby": "cat"})
    print(measured["accuracy"])
    tl_keras.report(runs[5])
    return tl_keras.report(runs, "comparison.html")


def mistakes() -> None:
    tl_keras.finetune(3, "runs/photos")  # type: ignore[arg-type]
    tl_keras.finetune({})  # type: ignore[call-arg]
    run = tl_keras.load("runs/photos")
    print(run.results)  # type: ignore[attr-defined]
    print(run.result.tests)  # type: ignore[union-attr]
    print(run.result.test.acuracy)  # type: ignore[union-attr]
    tl_keras.predict("runs/photos", 3)  # type: ignore[arg-type]
