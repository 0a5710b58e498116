"""Returns runs with the config that their model was trained with."""

from dataclasses import replace
from pathlib import Path

from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import part
from tl_keras.run.result.search import SearchRecord
from tl_keras.run.run import Run


def as_trained(run: Run) -> Run:
    """Returns the run with a config that prepares examples as they were prepared for its model.

    A search may vary fields of the preparation, such as the image size. After a search these fields
    have their values from the best trial. The model of the command parallel is a student, which may
    have a backbone of its own.
    """
    if run.pipeline == "parallel":
        return replace(run, config=of_students(run.config, run.workdir))
    search = _search_record(run)
    if not search:
        return run
    folder = run.workdir / (search.folder or "search") / search.best
    trial = configs.load(folder / "config.yaml")
    names = part(trial.modality, "config").PREPARATION
    preparation = {name: getattr(trial.settings, name) for name in names}
    return replace(run, config=run.config.with_settings(**preparation))


def for_new_examples(run: Run) -> Run:
    """Returns the run as `as_trained` does, with what its folder keeps to prepare new examples.

    The run's folder is enough then: for example, the vocabulary of a text model lies in it.
    """
    run = as_trained(run)
    kept = part(run.config.modality, "config").kept(run.config.settings, run.workdir)
    config = run.config.model_copy(update={run.config.modality: kept})
    return replace(run, config=config)


def of_students(config: RunConfig, workdir: Path) -> RunConfig:
    """Returns the config of the students of a run of parallel.

    It is the config of the run, unless `parallel.student` names a backbone.

    Args:
      workdir: the folder of the run.
    """
    if config.parallel.student is None:
        return config
    students = config.of_students
    settings = part(config.modality, "config").for_students(students.settings, workdir)
    return students.model_copy(update={config.modality: settings})


def _search_record(run: Run) -> SearchRecord | None:
    if search := run.record.get("search"):
        return SearchRecord.model_validate(search)
    return run.result.search if run.result else None
