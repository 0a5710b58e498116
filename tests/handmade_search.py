"""Hand-written results of searches."""

from handmade import SCRIPT

from tl_keras.run.result.search import Depth, SearchRecord, TrialRecord

N = 100
RATES = {"min": 1e-5, "max": 1e-2, "scale": "log"}


def trial(number: int, share: float, misses: int, rate: float = 3e-4, **others) -> TrialRecord:
    """Returns a trial that is wrong on the first `misses` of `N` examples."""
    values = {
        "trial": f"trial_{number:03d}",
        "values": {"fit.freeze": share, "fit.learning_rate": rate},
        "seconds": 4.5,
        "elapsed": 5.0 * (number + 1),
        "status": "done",
        "score": 1 - misses / N,
        "accuracy": 1 - misses / N,
        "log_loss": 0.25,
        "n": N,
        "wrong": list(range(misses)),
        "label": "MobileNet, 96 px",
        "depth": Depth(share=share, block=f"block_{round(12 * share)}", cut="add"),
        "kept": "head" if share == 1 else "finetuned",
        "head": 0.8,
        "saved": 2.5,
    }
    return TrialRecord(**values | others)


def lost(number: int, status: str, rate: float = 8e-3, **others) -> TrialRecord:
    """Returns a trial that ended without a model."""
    made = trial(number, 0.25, 0, rate)
    kept = {k: made[k] for k in ("trial", "values", "seconds", "elapsed", "label", "depth")}
    return TrialRecord(**kept | {"status": status, "score": 0.1} | others)


def searched(*made: TrialRecord, **others) -> SearchRecord:
    """Returns the part `search` of result.json; the first trial is the best."""
    values = {
        "tuner": "random",
        "objective": "accuracy",
        "trials": list(made),
        "best": made[0].trial,
        "curve": [[5.0, 0.8], [10.0, 0.9]],
        "seconds": 60.0,
        "saved": 7.5,
    }
    return SearchRecord(**values | others)


def several_architectures() -> SearchRecord:
    """Returns a search with everything that the report may show, and with hostile names."""
    made, long = [], "a_name_without_a_place_to_break_it" * 3
    sizes = [(SCRIPT, 4e6, 5), ("MobileNet", 1e6, 9), (long, 2e6, 15)]
    for i, (label, size, misses) in enumerate(sizes):
        costs = {"label": label, "bytes": size, "latency_ms": size / 1e6}
        for j, share in enumerate((0.5, 0.75, 1.0)):
            own = trial(3 * i + j, share, misses + j, 10.0 ** (j - 4), **costs)
            values = {"model.backbone": label, "image.augment": [{"flip": SCRIPT}]}
            values |= {**own.values, SCRIPT: None if j else {"a": SCRIPT}}
            depth = Depth(share=share, block=SCRIPT, cut="add")
            made.append(own.model_copy(update={"values": values, "depth": depth, "kept": SCRIPT}))
    made.append(lost(9, "diverged", why=f"loss is NaN at {SCRIPT}"))
    made.append(lost(10, "over the limit", label="large", bytes=9e9, latency_ms=99.0))
    return searched(*made, tuner=SCRIPT, objective=f"accuracy subject to {SCRIPT}")
