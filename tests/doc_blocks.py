"""Runs the code blocks of a Markdown page.

Marks stand in HTML comments directly above a block:

- `<!-- not run: REASON -->`: nothing is executed; flags are parsed, and configs of commands
  are checked. A `yaml` block needs the mark only if it is no whole config, or a wrong one.
- `<!-- run: COMMAND -->`: this is executed in place of the block, which is checked.
- `<!-- file: NAME -->`: the block is written to this file in the page's folder.
- `<!-- status: N -->`: the last command of the block ends with this exit status.
- `<!-- output -->`: each line of this `text` block is in what the last command printed. All numbers
  count as equal, and a line `...` stands for any lines. `<!-- output: first words -->` compares the
  first word of each line alone, where the rest depends on what was trained.
"""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from doc_workspace import Workspace
from ruamel.yaml import YAML
from sybil import Document
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from tl_keras import cli, command_table
from tl_keras.config import text as configs

ROOT = Path(__file__).parents[1]
MARKS = re.compile(r"(?:^[ \t]*<!--[^\n]*-->\n)+\Z", re.MULTILINE)
MARK = re.compile(r"<!-- (not run|run|file|status|output)(?:: (.+?))? -->")
NUMBER = re.compile(r"\d[\d,.e+-]*")
# Programs that may run in a page's folder. All others need the mark `not run`.
HARMLESS = ("cat", "cp", "echo", "head", "ls", "mkdir", "mv", "rm", "tail")
MARK_IT = "mark the block with <!-- not run: REASON -->"
EXTRAS = re.compile(r"\.\[([\w,]+)\]")
PYTHON = re.compile(r"(.*/)?python3?$")
TL_KERAS = re.compile(r"(.*/)?tl-keras$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text and marks."""

    language: str
    source: str
    line: int
    marks: dict[str, str]


def is_generated(page: Path) -> bool:
    """Whether a script writes this page, so that its source is tested instead."""
    return "do not edit" in page.read_text(encoding="utf-8")[:500]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, from top to bottom."""
    document = Document.parse(str(page))
    for region in FencedCodeBlockLexer(r"[^\n`]*")(document):
        above = MARKS.search(document.text[: region.start].rstrip(" "))
        marks = {name: text or "" for name, text in MARK.findall(above[0] if above else "")}
        line = document.text.count("\n", 0, region.start) + 1
        yield Block(region.lexemes["language"], str(region.lexemes["source"]), line, marks)


class Reader:
    """What a reader of a page does: types each block in turn, in one folder."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.printed = ""

    def read(self, block: Block) -> None:
        """Runs a block, or checks it as far as that goes.

        Raises:
          AssertionError: the block does not do what the page says.
        """
        if "file" in block.marks:
            file = self.workspace.folder / block.marks["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.source)
        act = {
            "sh": self._shell,
            "python": self._python,
            "yaml": self._yaml,
            "json": lambda block: json.loads(block.source),
            "text": self._text,
        }.get(block.language)
        if act:
            act(block)
        elif not block.language.startswith("{"):  # A directive of Sphinx, which the build checks.
            assert "not run" in block.marks, f"no way to run {block.language!r}; {MARK_IT}"

    def _python(self, block: Block) -> None:
        code = compile("\n" * block.line + block.source, "page", "exec")
        if "not run" not in block.marks:
            exec(code, self.names)

    def _yaml(self, block: Block) -> None:
        if "not run" in block.marks:  # A part of a config, or a wrong one.
            assert YAML(typ="safe").load(block.source)
            return
        config = configs.load(self.workspace.written(block.source))
        assert configs.to_yaml(config)

    def _text(self, block: Block) -> None:
        if "output" not in block.marks:
            return
        words = 1 if block.marks["output"] == "first words" else None
        printed = iter(_without_numbers(self.printed, words))
        for line in _without_numbers(block.source, words):
            if line not in ("...", ""):
                assert line in printed, f"the command printed no such line: {line}\n{self.printed}"

    def _shell(self, block: Block) -> None:
        if "run" in block.marks:
            for words in _commands(block.source):
                _check(words)
            block = replace(block, source=block.marks["run"])
        lines = _commands(block.source)
        expected = int(block.marks.get("status", 0))
        for i, words in enumerate(lines):
            is_last = i == len(lines) - 1
            if "not run" in block.marks:
                _check(words)
            else:
                status = self._run(words)
                assert status == (expected if is_last else 0), (
                    f"exit status {status}: {shlex.join(words)}\n{self.printed}"
                )

    def _run(self, words: list[str]) -> int:
        words, target = _redirected(words)
        command = _of_tl_keras(words)
        if command is not None:
            status = self._run_tl_keras(command)
        else:
            if _is_script(words):
                words = [sys.executable, *words[1:]]
            else:
                assert words[0] in HARMLESS, f"{words[0]}: may not run here; {MARK_IT}"
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            status, self.printed = done.returncode, done.stdout + done.stderr
        if target:
            Path(target).write_text(self.printed)
        return status

    def _run_tl_keras(self, words: list[str]) -> int:
        out, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            status = cli.main(words)
        self.printed = out.getvalue() if status == 0 else out.getvalue() + told.getvalue()
        return status


def _without_numbers(text: str, words: int | None) -> list[str]:
    """The first words of each line, all by default, with 0 for each number."""
    return [" ".join(NUMBER.sub("0", line).split()[:words]) for line in text.splitlines()]


def _commands(source: str) -> list[list[str]]:
    """The words of each command; `&&` separates commands of a line."""
    commands: list[list[str]] = []
    for line in source.replace("\\\n", " ").splitlines():
        commands.append([])
        for word in shlex.split(line, comments=True):
            if word == "&&":
                commands.append([])
            else:
                commands[-1].append(word)
    return [words for words in commands if words]


def _redirected(words: list[str]) -> tuple[list[str], str | None]:
    if ">" not in words:
        return words, None
    place = words.index(">")
    return words[:place], words[place + 1]


def _of_tl_keras(words: list[str]) -> list[str] | None:
    """The command line after `tl-keras`, or None for another program."""
    program, *rest = words
    if TL_KERAS.match(program):
        return rest
    if PYTHON.match(program) and rest[:2] == ["-m", "tl_keras"]:
        return rest[2:]
    if PYTHON.match(program) and rest and rest[0].startswith("pipelines/"):
        return [Path(rest[0]).stem, *rest[1:]]
    return None


def _is_script(words: list[str]) -> bool:
    """Whether this is a Python script in the page's folder, such as that of an export."""
    is_python = PYTHON.match(words[0]) and len(words) > 1 and words[1].endswith(".py")
    return bool(is_python) and Path.cwd() in Path(words[1]).resolve().parents


def _check(words: list[str]) -> None:
    """Checks a command that is not run: its flags and its config, its script, its extras."""
    words, _ = _redirected(words)
    if "=" in words[0] and len(words) > 1:  # A variable of the environment.
        words = words[1:]
    command = _of_tl_keras(words)
    if command is not None:
        _check_tl_keras(command)
    elif PYTHON.match(words[0]) and len(words) > 1 and words[1].endswith(".py"):
        _check_script(words[1], words[2:])
    for extras in EXTRAS.findall(" ".join(words)):
        known = (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1]
        for extra in extras.split(","):
            assert f"\n{extra} =\n" in known, f"setup.cfg has no extra {extra!r}"


def _check_tl_keras(words: list[str]) -> None:
    name, *rest = words
    if name.startswith("-"):
        return
    assert name in command_table.COMMANDS, f"unknown command {name!r}"
    values = cli._define(command_table.COMMANDS[name].flags)
    if "--help" in rest:
        return
    values([name, *rest])
    if "set" in values and values.set:
        configs.load(None, ["data.source=folder", "data.path=photos", *values.set])


def _check_script(script: str, arguments: list[str]) -> None:
    if not script.startswith(("benchmarks/", "docs/")):
        return
    # Benchmarks share flags, which are defined in a module beside them.
    text = "".join(file.read_text() for file in (ROOT / script).parent.glob("*.py"))
    for argument in arguments:
        if argument.startswith("--"):
            flag = argument.partition("=")[0]
            assert f'"{flag}"' in text, f"{script} has no flag {flag}"
