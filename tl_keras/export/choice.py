"""Chooses the file to ship as `export/model.tflite`."""

from collections.abc import Mapping

from tl_keras import tasks
from tl_keras.config.export import NOT_LITERT, ExportConfig
from tl_keras.export.proof import OK
from tl_keras.run.result.exports import Exported, Shipped

NEARLY = 1.25  # Files up to this many times the smallest file's size count as equally small.


def choose(
    entries: Mapping[str, Exported], config: ExportConfig, smaller: str, task: str = tasks.DEFAULT
) -> Shipped:
    """Returns the format to ship and a status; the format is None if no file is good enough.

    Candidates are the LiteRT files that are within their tolerance, `export.max_bytes` and
    `export.max_latency_ms`, and that need no repair according to validation. If none of them meets
    the last condition, the files with the lowest loss on validation are candidates. Of the
    candidates that are nearly as small as the smallest, the fastest is chosen: on many devices,
    small files differ more in speed than in size.

    Args:
      entries: `export` of result.json, by format.
      smaller: what to change about the examples for a smaller file, as in "a smaller image.size".
    """
    files = {name: entry for name, entry in entries.items() if name not in NOT_LITERT}
    accepted = {name: entry for name, entry in files.items() if entry.status == OK}
    if not files:
        return Shipped(format=None, status=OK)
    if not accepted:
        return Shipped(format=None, status="no LiteRT file is within its tolerance")
    within = {name: entry for name, entry in accepted.items() if _excess(entry, config) <= 1}
    if not within:
        return Shipped(format=None, status=_over_limits(accepted, config, smaller))
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
    """Returns the largest ratio of a file's size or latency to its limit; at least 1."""
    ratios = [1.0]
    if config.max_bytes is not None:
        ratios.append(entry.bytes / config.max_bytes)
    if config.max_latency_ms is not None:
        ratios.append(entry.latency_ms.median / config.max_latency_ms)
    return max(ratios)


def _over_limits(accepted: Mapping[str, Exported], config: ExportConfig, smaller: str) -> str:
    name = min(accepted, key=lambda k: _excess(accepted[k], config))
    entry, limits = accepted[name], []
    if config.max_bytes is not None:
        limits.append(f"export.max_bytes {config.max_bytes:,.0f}")
    if config.max_latency_ms is not None:
        limits.append(f"export.max_latency_ms {config.max_latency_ms:g}")
    return (
        f"no file is within {' and '.join(limits)}; the closest is {name} with {entry.bytes:,} "
        f"bytes and {entry.latency_ms.median:g} ms. To get a smaller and faster file, choose a "
        f"lower model.options.alpha, {smaller}, or another model.backbone"
    )
