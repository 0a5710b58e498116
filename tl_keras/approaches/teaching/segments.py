"""Finds the folder and config of each student model of a round, also for `parallel --segment`.

Does not import TensorFlow, so that a mistake in `--segment` is reported at once.
"""

from pathlib import Path

from tl_keras import tasks
from tl_keras.config.earlier.difference import first_difference
from tl_keras.config.whole import RunConfig
from tl_keras.jobs import job
from tl_keras.run import folder as runs
from tl_keras.run import marks
from tl_keras.run.run import Run
from tl_keras.run.trained import of_students

KIND = "segment"


def student_of(config: RunConfig, folder: Path, segment: int) -> Run:
    """Returns the run (folder and config) in which a student model trains.

    Args:
      config: the config of the whole run of parallel.
      folder: the folder of the round.
      segment: the number of the segment (part of the data) on which the student trains.
    """
    # A student chooses by few human labels, so views of validation are not computed.
    by = tasks.of(config.task, "names").CHOOSE_WITHOUT_VIEWS
    fit = config.fit.model_copy(update={"choose_by": by})
    config = of_students(config, folder.parent).model_copy(update={"fit": fit})
    return Run(folder / f"segment_{segment}", config, KIND)


def prepared_student(config: RunConfig, workdir: str | Path, segment: int) -> Run:
    """Returns the run of a student model in the latest round, ready to train or finished.

    Args:
      config: the config on this machine, whose cache folder may differ from that of the whole run.
      workdir: the folder of the whole run of parallel.
      segment: the number of the segment (part of the data) on which the student trains.

    Raises:
      ValueError: the round or segment does not exist, or the folder belongs to another config.
    """
    whole = runs.load(workdir)
    marks.check(whole.workdir, "run", "--workdir", may_be_new=False)
    count = config.parallel.segments
    if not 0 <= segment < count:
        raise ValueError(f"--segment: expected a segment from 0 to {count - 1}; received {segment}")
    if difference := first_difference(whole.config, config):
        raise ValueError(
            f"--workdir: {str(whole.workdir)!r} was made with another config: {difference}"
        )
    rounds = sorted(whole.workdir.glob("round_*/labels.csv"), key=_number)
    student = student_of(config, rounds[-1].parent, segment) if rounds else None
    if student is None or not (job.needs(student) or student.result):
        raise ValueError(
            f"--segment: {str(whole.workdir)!r} has no labels by the teacher model yet; first "
            "start the same command without --segment"
        )
    return student


def _number(labels: Path) -> int:
    return int(labels.parent.name.removeprefix("round_"))
