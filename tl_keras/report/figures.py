"""What the sections and the advice ask of a run: the split it is judged on, counts, stages."""

from collections import Counter

from tl_keras.report.read import Prediction, Run

# Stages of metrics.jsonl whose records are epochs, in words. Those of the stage "head" are
# strengths of regularisation.
STAGES = {"finetune": "Fine-tuning", "scratch": "Training from scratch"}


def scored(run: Run) -> tuple[str, dict]:
    """The split that the report is about and its scores: test if there is one."""
    for split in ("test", "val"):
        if run.result.get(split):
            return split, run.result[split]
    return "", {}


def predicted(run: Run) -> tuple[str, list[Prediction]]:
    """The split that the report is about and its predictions."""
    split = scored(run)[0] or next((p.split for p in run.predictions), "")
    return split, [p for p in run.predictions if p.split == split]


def split_size(run: Run, split: str) -> int | None:
    """Examples of a split; None if nobody counted them."""
    size = (run.result.get("data") or {}).get(split)
    if size is None and run.data.get("splits"):
        size = len(run.data["splits"].get(split) or [])
    return size


def quarantined(run: Run) -> list[dict]:
    """The files left out, each with `file` and `reason`."""
    return run.data.get("quarantined") or []


def strengths(run: Run) -> list[dict]:
    """The head's records: strengths of regularisation, in the order they were tried."""
    return [record for record in run.records if record.get("stage") == "head"]


def epochs(run: Run) -> list[dict]:
    """The records that are epochs, in order."""
    return [record for record in run.records if record.get("stage") in STAGES]


def exports(run: Run) -> dict[str, dict]:
    """What was measured of each exported format."""
    return {name: export for name, export in (run.result.get("export") or {}).items() if export}


def passed(export: dict) -> bool:
    """Whether an export held its tolerance, as far as anybody checked."""
    return export.get("status") in (None, "ok")


def counts(run: Run) -> tuple[list[str], Counter]:
    """The class names in their order and how often (true, predicted) occurred."""
    scores = scored(run)[1]
    names = list(scores.get("classes") or run.data.get("classes") or [])
    confusion = scores.get("confusion")
    if confusion and len(confusion) == len(names):
        cells = zip(names, confusion, strict=True)
        return names, Counter(
            {(t, p): n for t, row in cells for p, n in zip(names, row, strict=True) if n}
        )
    found = Counter((p.label, p.prediction) for p in predicted(run)[1])
    seen = dict.fromkeys(name for pair in sorted(found) for name in pair)
    return (list(dict.fromkeys([*names, *seen])) if found else []), found


def pairs(run: Run) -> list[tuple[str, str, int]]:
    """(true, taken for, times) of the mistakes, the most frequent first."""
    wrong = [(true, taken, n) for (true, taken), n in counts(run)[1].items() if true != taken]
    return sorted(wrong, key=lambda pair: (-pair[2], pair[0], pair[1]))
