"""The reference of the command line, from the tables of commands, flags and exit statuses."""

from collections.abc import Iterator

from generators import schema
from tl_keras import cli
from tl_keras.command_table import COMMANDS, EXIT_STATUSES

PAGE = "reference/commands.md"
INTRO = """
# Commands

```sh
tl-keras COMMAND [--flag=value ...]
```

- `tl-keras --help` lists the commands, `tl-keras COMMAND --help` the flags of one, and
  `tl-keras --version` prints the version.
- `python -m tl_keras COMMAND` does the same, and so does `python pipelines/COMMAND.py` in a
  checkout.
- A flag is written `--flag=value` or `--flag value`. A flag that is on or off is written `--flag`
  or `--noflag`.
- A run has a folder: `--workdir`, or else `runs/NAME`, where NAME is the name of the config or of
  the data. The same command in the same folder returns at once if the run is finished, and
  continues it if not.
- Results are printed to standard output, logs and messages to standard error.
- Fields of the config are listed in the [reference of the config](config.md).
"""


def text() -> str:
    """Returns the page."""
    rows = [
        f"| [`{name}`](#{schema.anchor(name)}) | {command.summary} |"
        for name, command in COMMANDS.items()
    ]
    lines = [INTRO.strip(), "", "| command | what it does |", "| --- | --- |", *rows, ""]
    for name in COMMANDS:
        lines += [*_command(name), ""]
    return "\n".join([*lines, *_statuses()]) + "\n"


def _command(name: str) -> Iterator[str]:
    command = COMMANDS[name]
    yield from [f"## `{name}`", "", command.summary, ""]
    yield from ["```text", f"usage: {cli.usage(name)}", "```", ""]
    yield from ["| flag | default | meaning |", "| --- | --- | --- |"]
    for flag in cli.described_flags(name):
        default = "" if flag.default is None else f"`{flag.default}`"
        yield f"| `--{flag.name}` | {default} | {flag.help} |"
    yield from ["", "```sh", command.example, "```"]


def _statuses() -> Iterator[str]:
    yield from ["## Exit status", "", "| status | meaning |", "| --- | --- |"]
    for status, meaning in EXIT_STATUSES.items():
        yield f"| {int(status)} | {meaning} |"
