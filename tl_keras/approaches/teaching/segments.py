"""The segments of a round: folder and config of each student, also of one started by hand.

Imports no TensorFlow, so that a mistake in `--segment` is answered at once.
"""

from pathlib import Path

from tl_keras import tasks
from tl_keras.config.difference import first_difference
from tl_keras.config.whole import RunConfig
from tl_keras.jobs import job
from tl_keras.run import folder as runs
from tl_keras.run import marks
from tl_keras.run.run import Run

KIND = "segment"


def student_of(config: RunConfig, folder: Path, segment: int) -> Run:
    """The student of a segment.

    Args:
      config: of the whole run.
      folder: of the round.
    """
    # A student chooses by what people labelled, so validation views are not computed.
    by = tasks.of(config.task, "names").CHOOSE_WITHOUT_VIEWS
    fit = config.fit.model_copy(update={"choose_by": by})
    return Run(folder / f"segment_{segment}", config.model_copy(update={"fit": fit}), KIND)


def waiting(config: RunConfig, workdir: str | Path, segment: int) -> Run:
    """The student of a segment in the latest round, prepared or finished.

    Args:
      config: as this machine has it: it may keep its cache elsewhere.

    Raises:
      ValueError: there is no such round or segment, or the folder is of another config.
    """
    whole = runs.load(workdir)
    marks.check(whole.workdir, "run", "--workdir", may_be_new=False)
    count = config.parallel.segments
    if not 0 <= segment < count:
        raise ValueError(f"--segment: expected 0 to {count - 1}; received {segment}")
    if difference := first_difference(whole.config, config):
        raise ValueError(
            f"--workdir: {str(whole.workdir)!r} was made with another config: {difference}"
        )
    rounds = sorted(whole.workdir.glob("round_*/labels.csv"), key=_number)
    student = student_of(config, rounds[-1].parent, segment) if rounds else None
    if student is None or not (job.needs(student) or student.result):
        raise ValueError(
            f"--segment: {str(whole.workdir)!r} has no labels yet; start the command without "
            "--segment first"
        )
    return student


def _number(labels: Path) -> int:
    return int(labels.parent.name.removeprefix("round_"))
