"""The command line: flags, help, exit statuses. What commands do is in `commands.py`.

Exit status: 0 done; 2 what the user can mend; 3 a finished run misses a tolerance; 1 else.
"""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags

from tl_keras.commands import COMMANDS, Flags
from tl_keras.config.messages import is_for_user
from tl_keras.run.files import check_folders
from tl_keras.run.process import open_streams
from tl_keras.version import VERSION

# Of folders and disks that are the user's: they may not be written, are full, or have names
# that the system does not take.
MENDABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line; the exit status."""
    open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()  # Here, where a closed pipe is expected.
        return status
    except (ValueError, flags.Error) as error:
        if not isinstance(error, flags.Error) and not is_for_user(error):
            raise
        print(f"tl-keras: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"tl-keras: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # As in `tl-keras schema | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        place = f"{error.filename!r}: " if error.filename else ""
        print(f"tl-keras: {place}{error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntl-keras: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "-help", "help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"tl-keras {VERSION}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"{name!r} is no command; {_hint(name, COMMANDS)}")
    values = _define(COMMANDS[name].flags)
    if any(word in ("--help", "-h", "-help", "--helpfull") for word in rest):
        print(_help(name, values))
        return 0
    try:
        positional = values([name, *rest])[1:]
    except flags.UnrecognizedFlagError as error:
        flag = f"--{error.flagname}"
        known = [f"--{known}" for known in COMMANDS[name].flags]
        raise ValueError(f"{flag}: {name} has no such flag; {_hint(flag, known)}") from None
    if positional and not COMMANDS[name].usage:
        raise ValueError(f"{positional[0]!r}: {name} takes flags alone, as in --workdir=DIR")
    check_folders()
    return COMMANDS[name].act(values, positional)


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"


def _define(names: Sequence[str]) -> Flags:
    # absl has types, but not here.
    values = flags.FlagValues()  # type: ignore[no-untyped-call]  # Private: TensorFlow puts 26 flags into the global ones.
    for name in names:
        FLAGS[name](values)
    return values


FLAGS: dict[str, Callable[[Flags], Any]] = {
    "config": lambda v: flags.DEFINE_string("config", None, "YAML file.", flag_values=v),
    "data": lambda v: flags.DEFINE_string(
        "data", None, "Folder of class folders, or CSV file.", flag_values=v
    ),
    "workdir": lambda v: flags.DEFINE_string(
        "workdir",
        None,
        "The run's folder; of a new run by default runs/NAME, by config or data.",
        flag_values=v,
    ),
    "set": lambda v: flags.DEFINE_multi_string(
        "set", [], "section.field=value, over the config's; repeatable.", flag_values=v
    ),
    "dry_run": lambda v: flags.DEFINE_bool(
        "dry_run",
        False,
        "Audit the data, say what would happen and how long it would take; no run folder.",
        flag_values=v,
    ),
    "output": lambda v: flags.DEFINE_string(
        "output",
        None,
        "File to write; by default standard output, or for report comparison.html.",
        flag_values=v,
    ),
    "format": lambda v: flags.DEFINE_enum(
        "format", "csv", ["csv", "jsonl"], "Form of the output.", flag_values=v
    ),
    "segment": lambda v: flags.DEFINE_integer(
        "segment",
        None,
        "Train this segment's student alone, of a run that waits for it; on any machine.",
        flag_values=v,
    ),
    "of": lambda v: flags.DEFINE_enum(
        "of",
        "config",
        ["config", "result"],
        "Of which file: config.yaml or result.json.",
        flag_values=v,
    ),
    "max_bytes": lambda v: flags.DEFINE_float(
        "max_bytes",
        None,
        "Remove least recently used arrays over this; 0: all.",
        lower_bound=0,
        flag_values=v,
    ),
    "cache_path": lambda v: flags.DEFINE_string(
        "cache_path", None, "The cache's folder. Default: the user's.", flag_values=v
    ),
}


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "tl-keras: labelled images in, a small model proved on its device format out.",
            "",
            "usage: tl-keras COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            "tl-keras COMMAND --help says more. Fields of a config: tl-keras schema.",
        ]
    )


def _help(name: str, values: Flags) -> str:
    command = COMMANDS[name]
    usage = f"usage: tl-keras {name} [--flag=value ...] {command.usage}".rstrip()
    lines = []
    for flag in command.flags:
        default = values[flag].default
        shown = "" if default in (None, []) else f" Default: {default}."
        text = values[flag].help.splitlines()[0].rstrip(";")
        lines.append(f"  --{flag}: {text}{shown}")
    return "\n".join([command.summary, "", usage, "", *lines])


def run_as(command: str) -> None:
    """What a script under pipelines/ calls."""
    sys.exit(main([command, *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
