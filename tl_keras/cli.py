"""The command line: flags, help and errors. `commands.py` runs the commands."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from tl_keras.command_table import COMMANDS, DONE, FAULT, STOPPED, USER_ERROR
from tl_keras.commands import ACTIONS, Flags
from tl_keras.config.messages import is_for_user
from tl_keras.modalities import DEFAULT
from tl_keras.run.files import check_folders
from tl_keras.run.process import open_streams
from tl_keras.version import VERSION

# Errors that the user can fix: no permission, a full disk, a name that the system refuses.
USER_ERRNOS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns the exit status, a key of `command_table.EXIT_STATUSES`.

    Args:
      argv: the words after `tl-keras`; None for the arguments of this process, `sys.argv`.
    """
    open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()  # If the pipe is closed, this raises here and not at exit.
        return status
    except (ValueError, flags.Error) as error:
        if not isinstance(error, flags.Error) and not is_for_user(error):
            raise
        print(f"tl-keras: {error}", file=sys.stderr)
        return USER_ERROR
    except FloatingPointError as error:
        print(f"tl-keras: {error}", file=sys.stderr)
        return USER_ERROR
    except BrokenPipeError:  # As in `tl-keras schema | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    except OSError as error:
        if error.errno not in USER_ERRNOS:
            raise
        place = f"{error.filename!r}: " if error.filename else ""
        print(f"tl-keras: {place}{error.strerror}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("\ntl-keras: stopped; the same command continues from here", file=sys.stderr)
        return STOPPED


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "-help", "help"):
        print(_overview())
        return DONE
    if arguments[0] == "--version":
        print(f"tl-keras {VERSION}")
        return DONE
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}; {_hint(name, COMMANDS)}")
    values = _define(COMMANDS[name].flags)
    if any(word in ("--help", "-h", "-help", "--helpfull") for word in rest):
        print(_help(name, values))
        return DONE
    try:
        positional = values([name, *rest])[1:]
    except flags.UnrecognizedFlagError as error:
        flag = f"--{error.flagname}"
        known = [f"--{known}" for known in COMMANDS[name].flags]
        raise ValueError(f"unknown flag {flag} of {name}; {_hint(flag, known)}") from None
    if positional and not COMMANDS[name].usage:
        raise ValueError(
            f"unexpected argument {positional[0]!r}: {name} takes only flags, as in --workdir=DIR"
        )
    check_folders()
    return ACTIONS[name](values, positional)


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"


def _define(names: Sequence[str]) -> Flags:
    # Not absl's global flags, to which TensorFlow adds 26. This constructor has no types.
    values = flags.FlagValues()  # type: ignore[no-untyped-call]
    for name in names:
        FLAGS[name](values)
    return values


FLAGS: dict[str, Callable[[Flags], Any]] = {
    "config": lambda v: flags.DEFINE_string(
        "config", None, "The config, a YAML file.", flag_values=v
    ),
    "data": lambda v: flags.DEFINE_string(
        "data",
        None,
        "The data: a folder of class folders, or a table (.csv or .jsonl). Use either --data or "
        "--config.",
        flag_values=v,
    ),
    "workdir": lambda v: flags.DEFINE_string(
        "workdir",
        None,
        "The run's folder. Default: runs/NAME, where NAME is that of the config file or of the "
        "data, as in runs/photos for --data=photos.",
        flag_values=v,
    ),
    "modality": lambda v: flags.DEFINE_string(
        "modality", DEFAULT, "The kind of the examples: image or text.", flag_values=v
    ),
    "set": lambda v: flags.DEFINE_multi_string(
        "set",
        [],
        "Replaces a field of the config, as in --set fit.epochs=5; repeatable.",
        flag_values=v,
    ),
    "dry_run": lambda v: flags.DEFINE_bool(
        "dry_run",
        False,
        "Only checks the data, and prints what the run would do and how long it would take. Makes "
        "no run folder.",
        flag_values=v,
    ),
    "output": lambda v: flags.DEFINE_string(
        "output",
        None,
        "File to write.",
        flag_values=v,
    ),
    "format": lambda v: flags.DEFINE_enum(
        "format",
        "csv",
        ["csv", "jsonl"],
        "Format of the output: csv or jsonl (one JSON object a line).",
        flag_values=v,
    ),
    "segment": lambda v: flags.DEFINE_integer(
        "segment",
        None,
        "Number of a segment. Trains only the student model of this segment (part) of the data, "
        "for a run with parallel.workers=0 that waits for it. Works on any machine that can access "
        "the run's folder.",
        flag_values=v,
    ),
    "of": lambda v: flags.DEFINE_enum(
        "of",
        "config",
        ["config", "result"],
        "The file whose schema is printed: config (config.yaml) or result (result.json).",
        flag_values=v,
    ),
    "max_bytes": lambda v: flags.DEFINE_float(
        "max_bytes",
        None,
        "Removes the least recently used arrays until the rest has at most this many bytes; 0 "
        "removes all.",
        lower_bound=0,
        flag_values=v,
    ),
    "cache_path": lambda v: flags.DEFINE_string(
        "cache_path",
        None,
        "Folder of the cache. Default: the user's cache folder.",
        flag_values=v,
    ),
}


# Help of flags that have another meaning in some commands.
_FINISHED = {"workdir": "The folder of the finished run."}
_WRITTEN = {"output": "File to write. Default: standard output."}
SPECIAL_HELP: dict[str, dict[str, str]] = {
    "quickstart": {
        "workdir": "The run's folder. Default: runs/quickstart; runs/quickstart_text for texts."
    },
    "audit": {
        "workdir": "The run's folder. Default: runs/NAME_audit, where NAME is that of the config "
        "file or of the data, as in runs/photos_audit for --data=photos."
    },
    "evaluate": {
        **_FINISHED,
        **_WRITTEN,
        "data": "The data to measure on: a folder of class folders, or a table (.csv or .jsonl). "
        "Default: the run's own test split.",
        "set": "With --data, renames classes of the model or of the data before measuring. With "
        "--set 'evaluate.classes={tabby: cat}', tabby counts as cat. Also names the columns of a "
        "table, as in --set data.text_column=review.",
    },
    "predict": {**_FINISHED, **_WRITTEN},
    "export": {
        **_FINISHED,
        "set": "Replaces a field in the section 'export' or 'cache' of the config, as in "
        "--set 'export.formats=[int8]'; repeatable.",
    },
    "report": {
        "workdir": "The folder of one run, instead of the argument RUN.",
        "output": "The page to write if there are several runs. Default: comparison.html.",
    },
}


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "tl-keras: turns labelled images or texts into a small model, tested in the format of "
            "the device.",
            "",
            "usage: tl-keras COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            "More about a command: tl-keras COMMAND --help. Fields of a config: tl-keras schema.",
        ]
    )


def _help(name: str, values: Flags) -> str:
    command = COMMANDS[name]
    lines = []
    for flag in described_flags(name, values):
        shown = "" if flag.default is None else f" Default: {flag.default}."
        lines.append(f"  --{flag.name}: {flag.help}{shown}")
    return "\n".join([command.summary, "", f"usage: {usage(name)}", "", *lines])


@dataclass(frozen=True)
class DescribedFlag:
    """A flag as the help shows it; `default` is None for a flag without a default."""

    name: str
    help: str
    default: str | None


def described_flags(name: str, values: Flags | None = None) -> list[DescribedFlag]:
    """Returns the flags of a command in the order of its help."""
    values = values or _define(COMMANDS[name].flags)
    described = []
    for flag in COMMANDS[name].flags:
        default = values[flag].default
        text = SPECIAL_HELP.get(name, {}).get(flag) or _without_choices(values[flag].help)
        shown = None if default in (None, [], False) else str(default)
        described.append(DescribedFlag(flag, text, shown))
    return described


def _without_choices(text: str) -> str:
    """Returns the help of a flag without the parts that absl adds.

    absl adds the choices before the help, as in `<csv|jsonl>: `, and a line after the help.
    """
    line = text.splitlines()[0].rstrip(";")
    return line.partition(">: ")[2] if line.startswith("<") else line


def usage(name: str) -> str:
    """Returns how a command is written, as in `tl-keras predict [--flag=value ...] IMAGE ...`."""
    return f"tl-keras {name} [--flag=value ...] {COMMANDS[name].usage}".rstrip()


def run_as(command: str) -> None:
    """Runs a command for a script in `pipelines/`, and exits with its status."""
    sys.exit(main([command, *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
