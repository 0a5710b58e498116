"""What a backbone learned without labels, in words."""

from pathlib import Path

from tl_keras.modalities import part
from tl_keras.report.read import RunFiles
from tl_keras.run.result.training import Pretraining


def headline(run: RunFiles) -> str:
    """Returns the measures of the validation set in one line; "" if the run had labels."""
    record = run.result.pretraining
    return _headline(run.modality, record) if record else ""


def lines(modality: str, record: Pretraining, workdir: Path) -> list[str]:
    """Returns the lines that the command prints at its end."""
    next_step = f"tl-keras finetune --data=DATA --set model.weights={workdir}"
    return [f"{'val':13} {_headline(modality, record)}", f"{'next':13} {next_step}"]


def rows(run: RunFiles) -> list[tuple[str, float]]:
    """Returns the title and the value of each measure of the validation set."""
    record = run.result.pretraining
    if not record:
        return []
    titles = part(run.modality, f"objectives.{record.objective}").MEASURES
    return [(titles.get(name, name), value) for name, value in record.val.items()]


def _headline(modality: str, record: Pretraining) -> str:
    line: str = part(modality, f"objectives.{record.objective}").headline(record.val)
    return line
