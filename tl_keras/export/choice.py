"""Which of the files to ship: what becomes `export/model.tflite`."""

from collections.abc import Mapping

from tl_keras import tasks
from tl_keras.config.export import WHOLE, ExportConfig
from tl_keras.export.proof import OK
from tl_keras.run.result.exports import Exported, Shipped

NEARLY = 1.25  # Times the smallest file: as good as the smallest.


def choose(
    entries: Mapping[str, Exported], config: ExportConfig, smaller: str, task: str = tasks.DEFAULT
) -> Shipped:
    """The format to ship, None where no file will do, and a status.

    Of the LiteRT files that hold their tolerance and `export.max_bytes` and `max_latency_ms`, and
    are sound on validation (where none is, that lose least there), the fastest of those that are
    nearly as small as the smallest: on many devices it is speed that small files differ in.

    Args:
      smaller: what to change of the examples for a smaller file, in words.
    """
    files = {name: entry for name, entry in entries.items() if name not in WHOLE}
    held = {name: entry for name, entry in files.items() if entry.status == OK}
    if not files:
        return Shipped(format=None, status=OK)
    if not held:
        return Shipped(format=None, status="no LiteRT file holds its tolerance")
    within = {name: entry for name, entry in held.items() if _excess(entry, config) <= 1}
    if not within:
        return Shipped(format=None, status=_nearest(held, config, smaller))
    is_sound, bound = tasks.of(task, "exports").is_sound, config.max_accuracy_drop
    good = {k: e for k, e in within.items() if is_sound(e.val, bound)}
    if not good:
        least = min(entry.val.lost for entry in within.values())
        good = {k: e for k, e in within.items() if e.val.lost == least}
    smallest = min(entry.bytes for entry in good.values())
    near = {k: e for k, e in good.items() if e.bytes <= NEARLY * smallest}
    # The least of the runs: the median is another where other programs were at work.
    name = min(near, key=lambda k: near[k].latency_ms.least)
    return Shipped(format=name, status=OK)


def _excess(entry: Exported, config: ExportConfig) -> float:
    """How many times a limit a file is, of the limit that it breaks most; at most 1 if none."""
    ratios = [1.0]
    if config.max_bytes is not None:
        ratios.append(entry.bytes / config.max_bytes)
    if config.max_latency_ms is not None:
        ratios.append(entry.latency_ms.median / config.max_latency_ms)
    return max(ratios)


def _nearest(held: Mapping[str, Exported], config: ExportConfig, smaller: str) -> str:
    name = min(held, key=lambda k: _excess(held[k], config))
    entry, limits = held[name], []
    if config.max_bytes is not None:
        limits.append(f"export.max_bytes {config.max_bytes:,.0f}")
    if config.max_latency_ms is not None:
        limits.append(f"export.max_latency_ms {config.max_latency_ms:g}")
    return (
        f"no file holds {' and '.join(limits)}; the nearest is {name} with {entry.bytes:,} "
        f"bytes and {entry.latency_ms.median:g} ms. Smaller and faster: a lower "
        f"model.options.alpha, {smaller}, or another model.backbone"
    )
