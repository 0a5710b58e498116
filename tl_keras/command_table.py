"""The table of commands: what each one does, its flags and an example; and the exit statuses."""

from dataclasses import dataclass

DONE, FAULT, USER_ERROR, MISSED, STOPPED = 0, 1, 2, 3, 130
EXIT_STATUSES = {
    DONE: "The command did its work.",
    FAULT: "tl-keras has a bug and shows a traceback. Or its output went through a pipe to a "
    "program, such as 'head', that ended before it had read everything.",
    USER_ERROR: "Something that you can fix, such as a flag, a field of the config, the data or a "
    "full disk. One message says what is wrong and what to do.",
    MISSED: "The run is finished, but an exported file misses its tolerance, or no file is within "
    "the limits of the config. The message names the file and the tolerance or limit.",
    STOPPED: "Stopped with Ctrl-C. The same command continues from there.",
}


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
      summary: what it does, in one sentence.
      flags: names of its flags, keys of `cli.FLAGS`.
      usage: its positional arguments, as in `RUN ...`; empty if it takes none.
      example: a command line.
    """

    summary: str
    flags: tuple[str, ...]
    usage: str = ""
    example: str = ""


_RUN = ("config", "data", "workdir", "set")
COMMANDS = {
    "quickstart": Command(
        "Trains, measures and exports a model on data inside the package; needs no network.",
        ("modality", "workdir", "set"),
        example="tl-keras quickstart",
    ),
    "audit": Command(
        "Checks a data set before training: unreadable files, copies, suspicious labels.",
        _RUN,
        example="tl-keras audit --data=photos",
    ),
    "finetune": Command(
        "Adapts a pretrained model to your data, measures it, and exports it for devices.",
        (*_RUN, "dry_run"),
        example="tl-keras finetune --data=photos --workdir=runs/photos",
    ),
    "search": Command(
        "Tries freeze depths, learning rates and more; a later 'finetune' tests the best model.",
        _RUN,
        example="tl-keras search --data=photos --workdir=runs/photos --set search.trials=20",
    ),
    "cross_validate": Command(
        "Cross-validates a model on a small data set, then trains it on all examples.",
        _RUN,
        example="tl-keras cross_validate --data=photos --workdir=runs/folds",
    ),
    "parallel": Command(
        "Labels many examples with a teacher model, trains student models on them, merges these.",
        (*_RUN, "segment"),
        example="tl-keras parallel --data=photos --workdir=runs/many --set data.unlabelled=others",
    ),
    "compare": Command(
        "Runs several approaches on one data set in a given time, and recommends one.",
        _RUN,
        example="tl-keras compare --data=photos --workdir=runs/compare --set compare.minutes=10",
    ),
    "pretrain": Command(
        "Trains a backbone from scratch; later runs start from its weights.",
        _RUN,
        example="tl-keras pretrain --config=large.yaml --workdir=runs/large",
    ),
    "evaluate": Command(
        "Prints the metrics of a finished run, on its test split or on other data.",
        ("workdir", "data", "set", "output"),
        example="tl-keras evaluate --workdir=runs/photos --data=other_photos",
    ),
    "predict": Command(
        "Predicts the class probabilities of images or texts with the model of a finished run.",
        ("workdir", "format", "output"),
        "FILE_OR_FOLDER ...",
        "tl-keras predict --workdir=runs/photos new",
    ),
    "export": Command(
        "Exports a finished run again, with other values in the section 'export' of the config.",
        ("workdir", "set"),
        example="tl-keras export --workdir=runs/photos --set 'export.formats=[int8]'",
    ),
    "report": Command(
        "Rewrites the report of a run; for several runs, writes a page that compares them.",
        ("workdir", "output"),
        "RUN ...",
        "tl-keras report runs/photos runs/folds --output=comparison.html",
    ),
    "schema": Command(
        "Prints the JSON schema of the config (for editors) or of result.json.",
        ("of",),
        example="tl-keras schema --of=result",
    ),
    "cache": Command(
        "Lists prepared examples and activations in the cache, and removes old ones.",
        ("cache_path", "max_bytes"),
        example="tl-keras cache --max_bytes=1e9",
    ),
}
