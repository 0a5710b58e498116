"""What a backbone learned without labels, in words."""

from pathlib import Path

from tl_keras.config.command_line import to_train_from
from tl_keras.config.text import to_tree
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import part
from tl_keras.report.read import RunFiles
from tl_keras.run.result.training import Pretraining


def has_no_head(run: RunFiles) -> bool:
    """Returns whether the model is a backbone that was pretrained without labels."""
    return run.result.pretraining is not None and run.result.val is None


def headline(run: RunFiles) -> str:
    """Returns the measures of the validation set in one line; "" if the run had labels."""
    return _headline(run.modality, run.result.pretraining) if has_no_head(run) else ""


def lines(config: RunConfig, record: Pretraining, workdir: Path) -> list[str]:
    """Returns the lines that the command prints at its end."""
    next_step = to_train_from(str(workdir), to_tree(config))
    return [f"{'val':13} {_headline(config.modality, record)}", f"{'next':13} {next_step}"]


def rows(run: RunFiles) -> list[tuple[str, float]]:
    """Returns the title and the value of each measure of the validation set."""
    record = run.result.pretraining
    if not record:
        return []
    titles: dict[str, str] = {}
    if record.objective in part(run.modality, "config").OBJECTIVES:
        titles = part(run.modality, f"objectives.{record.objective}").MEASURES
    return [(titles.get(name, name), value) for name, value in record.val.items()]


def _headline(modality: str, record: Pretraining) -> str:
    line: str = part(modality, f"objectives.{record.objective}").headline(record.val)
    return line
