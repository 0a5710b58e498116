"""Chooses the file to ship as `export/model.tflite`."""

from collections.abc import Mapping, Sequence

from tl_keras import tasks
from tl_keras.config.export import NOT_LITERT, ExportConfig
from tl_keras.export.proof import OK
from tl_keras.run.result.exports import Exported, Shipped

NEARLY = 1.25  # Files up to this many times the smallest file's size count as equally small.


def choose(
    entries: Mapping[str, Exported],
    config: ExportConfig,
    smaller: Sequence[str],
    faster: Sequence[str],
    task: str = tasks.DEFAULT,
) -> Shipped:
    """Returns the format of the file to ship, and a status: "ok", or why no file can be shipped.

    The format is None if no file can be shipped. If no file is a LiteRT file, the format is None
    and the status is "ok". The choice has three steps:

    1. A LiteRT file can be chosen if its status is "ok" and it is within `export.max_bytes` and
       `export.max_latency_ms`.
    2. Files that the task's function `is_sound` rejects are dropped: on validation, they lose too
       much, or their answers are too far from the model's. If it rejects all files, those that
       lose least of the main score are kept.
    3. Files that are more than `NEARLY` times as large as the smallest are dropped. The fastest of
       the other files is chosen, because on many devices small files differ more in speed than in
       size.

    Args:
      entries: the field `export` of result.json: the measurements of each exported file, by format.
      smaller: changes that make a file smaller, as in "another model.backbone". The status
        suggests them if all files are too large or too slow.
      faster: changes that make a file faster, as in "a smaller image.size". The status suggests
        them if all files are too slow.
    """
    files = {name: entry for name, entry in entries.items() if name not in NOT_LITERT}
    accepted = {name: entry for name, entry in files.items() if entry.status == OK}
    if not files:
        return Shipped(format=None, status=OK)
    if not accepted:
        return Shipped(format=None, status="no LiteRT file passed its comparison with model.keras")
    within = {name: entry for name, entry in accepted.items() if _excess(entry, config) <= 1}
    if not within:
        return Shipped(format=None, status=_over_limits(accepted, config, smaller, faster))
    is_sound, bound = tasks.of(task, "exports").is_sound, config.max_accuracy_drop
    good = {k: e for k, e in within.items() if is_sound(e.val, bound)}
    if not good:
        least = min(entry.val.lost for entry in within.values())
        good = {k: e for k, e in within.items() if e.val.lost == least}
    smallest = min(entry.bytes for entry in good.values())
    near = {k: e for k, e in good.items() if e.bytes <= NEARLY * smallest}
    # The fastest run, not the median, which other programs on the machine disturb.
    name = min(near, key=lambda k: near[k].latency_ms.least)
    return Shipped(format=name, status=OK)


def _excess(entry: Exported, config: ExportConfig) -> float:
    """Returns the factor by which a file exceeds a limit; 1 if the file is within both limits.

    The limits are `export.max_bytes` and `export.max_latency_ms`. If both are exceeded, the larger
    factor is returned.
    """
    ratios = [1.0]
    if config.max_bytes is not None:
        ratios.append(entry.bytes / config.max_bytes)
    if config.max_latency_ms is not None:
        ratios.append(entry.latency_ms.median / config.max_latency_ms)
    return max(ratios)


def _over_limits(
    accepted: Mapping[str, Exported],
    config: ExportConfig,
    smaller: Sequence[str],
    faster: Sequence[str],
) -> str:
    """Returns two sentences: which limits every file exceeds, and what to do about it.

    The summary of a run shows only the first sentence, see `Shipped.reason`.
    """
    missed = _missed(accepted, config)
    reason = "; ".join(missed.values())
    if not missed:  # Some file meets one limit, and another file meets the other limit.
        missed = dict.fromkeys(("max_bytes", "max_latency_ms"), "")
        name = min(accepted, key=lambda k: _excess(accepted[k], config))
        reason = (
            f"no file is within both export.max_bytes {config.max_bytes:,.0f} and "
            f"export.max_latency_ms {config.max_latency_ms:g}; the closest file, {name}, has "
            f"{accepted[name].bytes:,} bytes and takes {accepted[name].latency_ms.median:g} ms"
        )
    *others, last = [*(faster if "max_latency_ms" in missed else ()), *smaller]
    changes = f"{', '.join(others)} or {last}" if others else last
    limits = " ".join(f"--set export.{name}=..." for name in missed)
    return (
        f"{reason}. Raise the limit with tl-keras export --workdir=... {limits}, or train in a new "
        f"--workdir with {changes}"
    )


def _missed(accepted: Mapping[str, Exported], config: ExportConfig) -> dict[str, str]:
    """Returns `{limit: sentence}` for each limit that every file exceeds.

    The sentence about `max_bytes` names the smallest file, the one about `max_latency_ms` the
    fastest file.
    """
    missed = {}
    name = min(accepted, key=lambda k: accepted[k].bytes)
    if config.max_bytes is not None and accepted[name].bytes > config.max_bytes:
        missed["max_bytes"] = (
            f"export.max_bytes is {config.max_bytes:,.0f}, but the smallest file, {name}, has "
            f"{accepted[name].bytes:,} bytes"
        )
    name = min(accepted, key=lambda k: accepted[k].latency_ms.median)
    median = accepted[name].latency_ms.median
    if config.max_latency_ms is not None and median > config.max_latency_ms:
        missed["max_latency_ms"] = (
            f"export.max_latency_ms is {config.max_latency_ms:g}, but the fastest file, {name}, "
            f"takes {median:g} ms"
        )
    return missed
