"""A hand-written result with every part that a result may have."""

from handmade import MATH, SCRIPT, candidate, exported, result, scores, verdict
from handmade_search import lost, searched, trial

from tl_keras.run.result.comparison import (
    Against,
    ApproachRecord,
    Learning,
    Ranked,
    Recommended,
    Standing,
)
from tl_keras.run.result.exports import (
    Abstaining,
    Latency,
    OnFiles,
    Repair,
    RepairStep,
    Shipped,
)
from tl_keras.run.result.folds import CrossValidation, FoldRecord, Spread
from tl_keras.run.result.part import MainScores, Views
from tl_keras.run.result.teaching import (
    LabelCounts,
    Labels,
    Round,
    Segment,
    Teacher,
    UnlabelledCounts,
)
from tl_keras.run.result.training import (
    ActivationsRecord,
    Chosen,
    Counts,
    Digests,
    ModelRecord,
    Pretraining,
)
from tl_keras.run.result.whole import Result
from tl_keras.tasks.classification.record import SharedClassScores

DIGESTS = {"graph_digest": "5a1d", "weights_digest": "7c44"}


def full_result(**others) -> Result:
    """Returns a result with all parts at once; no command writes one, but a page must show it."""
    shared = SharedClassScores(accuracy=0.951, interval=[0.91, 0.98], log_loss=0.21, n=140)
    views = Views(count=5, accuracy=0.9612, interval=[0.91, 0.98], log_loss=0.1234)
    parts = {
        "test": scores(153, views=views, among_shared=shared),
        **dict.fromkeys(("held_out", "labelled", "taught"), scores(50)),
        "data": Counts(classes=3, train=306, val=77, test=153, quarantined=1),
        "model": _model(),
        "chosen": Chosen(
            kept="mix", regularisation=10.0, temperature=1.5, epochs=12, correction=1.25
        ),
        "pretraining": Pretraining(
            objective="masked_language",
            pieces={"train": 306, "val": 77},
            facts={"vocabulary": 8000},
            epochs=7,
            val={"loss": 2.5, "perplexity": 12.18},
        ),
        "export": {"float32": exported("model_float32.tflite", 8_900_000), "int8": _repaired()},
        "shipped": Shipped(
            format="int8",
            status="ok",
            path="export/model.tflite",
            device=OnFiles(
                accuracy=0.876,
                interval=[0.82, 0.92],
                agreement=0.987,
                max_abs_diff=0.02,
                n=149,
                identical=0.654,
            ),
        ),
        "search": _searched(),
        "trial": trial(0, 0.5, 5),
        "features": {
            "add/train": ActivationsRecord(
                keep=True,
                why="one view",
                dtype="float16",
                cached=True,
                bytes=1_064_960,
                seconds=5.2,
            ),
            "add/val": ActivationsRecord(keep=False, why="another view"),
        },
        "backbones": {"MobileNet, 96 px": Digests(**DIGESTS)},
        "unlabelled": UnlabelledCounts(n=1234, quarantined=2),
        "rounds": [_round()],
        "teacher": Teacher(
            split="test", accuracy=0.7654, interval=[0.7, 0.8], n=153, won=30, lost=3
        ),
        "devices": 2,
        "activation_bytes": {"add": 1_064_960},
        **_folds(),
        **_compared(),
    }
    return result(**parts | others)


def _model() -> ModelRecord:
    return ModelRecord(
        backbone="MobileNetV2",
        weights="imagenet",
        parameters=2_260_546,
        freeze=0.75,
        block="block_12",
        cut="add",
        kept="mix",
        classes_kept=[SCRIPT],
        candidates={
            "head": candidate(),
            "mix": candidate(),
            "finetuned": candidate(gain=7.25, won=30, lost=1),
        },
        fine_tuning="left out for want of room",
        **DIGESTS,
    )


def _repaired():
    steps = [
        RepairStep(kept=0, lost=0.15, agreement=0.8, moved=0.3),
        RepairStep(kept=1, lost=0.01, agreement=0.98, moved=0.02),
    ]
    share = {"coverage": 0.953, "interval": [0.9, 0.98], "answered": 0.702, "accuracy": 0.981}
    return exported(
        "model_int8.tflite",
        690_000,
        interval=[0.88, 0.96],
        longest=64,
        cut=0.02,
        n=151,
        val=verdict(0.01).model_copy(update={"also": 108}),
        undecided=77,
        repair=Repair(kept=["conv_1"], bytes=123_456, steps=steps),
        abstain=Abstaining(**share, n=150),
        latency_ms=Latency(median=5.43, p95=6.54, least=5.4, threads=2, length=37),
        latency_all_ms=Latency(median=1.98, p95=2.1, least=1.9, threads=8),
        arena_bytes=345_000,
        operators={"CONV_2D": 12, "NEG": 2},
        float_operators={"NEG": 2},
    )


def _searched():
    others = {"behind": [-0.01, 0.02], "essence": "e", "passes": 1.5, "tuned_score": 0.9}
    costs = {"bytes": 1e6, "latency_ms": 2.5, "interval": [0.88, 0.98], "finetuned": 0.9123}
    best = trial(0, 0.5, 5, left_out=False, **costs, **others)
    other = trial(1, 1.0, 7, rate=1e-3, label="other", **costs | {"bytes": 4e6})
    return searched(
        best, other, lost(2, "diverged", why="loss is NaN"), level=["trial_001"], folder="first"
    )


def _folds() -> dict:
    values = {"fit.freeze": 0.25}
    measured = {"n": 51, "interval": [0.8, 0.95], "accuracy": 0.883, "log_loss": 0.321}
    fold = FoldRecord(
        fold="fold_0",
        repeat=0,
        train=204,
        val=41,
        kept="finetuned",
        regularisation=0.0316,
        seconds=61.0,
        values=values,
        **measured,
    )
    spread = {"accuracy": Spread(mean=0.8871, deviation=0.0123)}
    share = {"coverage": 0.91, "interval": [0.8, 0.96], "answered": 0.5, "accuracy": 0.97}
    abstain = Abstaining(**share, n=51)
    summary = CrossValidation(folds=5, repeats=2, final="refit", scores=spread, abstain=abstain)
    return {"folds": [fold, fold], "cross_validation": summary}


def _round() -> Round:
    labelled = LabelCounts(n=800, kept=640, known=600, right=570)
    labels = Labels(
        classes={SCRIPT: labelled, MATH: LabelCounts(n=434, kept=300)},
        frequencies=[0.65, 0.35],
        thresholds=[0.81, 0.92],
    )
    student = Segment(
        segment=0,
        train=946,
        val=117,
        kept="finetuned",
        seconds=42.0,
        labelled=MainScores(accuracy=0.8442, interval=[0.75, 0.91], n=77),
        taught=MainScores(accuracy=0.9125, interval=[0.8, 0.97], n=40),
    )
    candidates = {"average": MainScores(accuracy=0.8961, log_loss=0.3456, n=77)}
    return Round(
        labels=labels,
        segments=[student],
        candidates=candidates,
        merged="average",
        model=ModelRecord(kept="average"),
    )


def _compared() -> dict:
    short = {
        split: MainScores(accuracy=0.9, interval=[0.85, 0.95], n=77) for split in ("val", "test")
    }
    own = {"command": "finetune", "backbone": "MobileNetV2", "parameters": 2_260_546, "kept": "mix"}
    own |= {
        "freeze": 0.75,
        "seconds": 90.0,
        "format": "int8",
        "bytes": 690_000,
        "latency_ms": 3.21,
        **short,
    }
    against = Against(won=9, lost=1, difference=0.104, interval=[0.02, 0.18], n=77)
    standing = Standing(n=77, against={"head": against})
    curve = [(0.25, 76, 0.7), (0.5, 153, 0.8), (1.0, 306, 0.86)]
    return {
        "approaches": {
            "finetune": ApproachRecord(**own, training=63.0, to_scratch=21.0),
            "head": ApproachRecord(**own, training=7.0, to_scratch=None),
        },
        "left_out": {"full": "the budget is spent"},
        "recommended": Recommended(best="finetune", val=standing, test=standing),
        "chain": dict.fromkeys(("val", "test"), against),
        "ranking": [
            Ranked(
                approach="finetune",
                backbone="MobileNetV2",
                parameters=2_260_546,
                seconds=3.5,
                logme=1.234,
                left_out_accuracy=0.812,
            )
        ],
        "learning_curve": [
            Learning(share=share, n=n, accuracy=accuracy, log_loss=0.4)
            for share, n, accuracy in curve
        ],
    }
