"""The generated pages of the documentation, and the words that they are generated from."""

import importlib.util
import re
from pathlib import Path

import pytest

from tl_keras import cli, commands, tasks
from tl_keras.command_table import COMMANDS, EXIT_STATUSES
from tl_keras.config import text as configs
from tl_keras.run.result import whole
from tl_keras.run.result.part import LISTS, SINGLE

DOCS = Path(__file__).parents[2] / "docs"
RUN = "run: python docs/generate.py"


def _generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _generate()
PAGES = generate.pages()
PACKAGE = DOCS.parent / "tl_keras"


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_a_page_is_what_its_generator_makes(file):
    assert file.is_file(), f"{file} does not exist; {RUN}"
    assert file.read_text(encoding="utf-8") == PAGES[file], f"{file} is out of date; {RUN}"


def test_check_names_stale_pages(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(generate, "DOCS", tmp_path / "docs")
    page = tmp_path / "docs/reference/some.md"
    monkeypatch.setattr(generate, "pages", lambda: {page: "new\n"})
    assert generate.main(["--check"]) == 1
    assert "docs/reference/some.md is out of date" in capsys.readouterr().out
    assert generate.main([]) == 0
    assert page.read_text() == "new\n"
    assert generate.main(["--check"]) == 0
    assert generate.main(["--chekc"]) == 2


def undescribed(schema):
    """Models and fields of a JSON schema without a description of at least three words."""
    for name, model in schema["$defs"].items():
        if len(model.get("description", "").split()) < 3:
            yield name
        for field, node in model.get("properties", {}).items():
            if "$ref" not in node and len(node.get("description", "").split()) < 3:
                yield f"{name}.{field}"


def test_each_field_of_the_config_has_a_description():
    schema = configs.schema()
    outside = {field: node for field, node in schema["properties"].items() if "$ref" not in node}
    schema["$defs"]["RunConfig"] = {**schema, "properties": outside}
    assert list(undescribed(schema)) == []


@pytest.mark.parametrize("task", tasks.TASKS)
def test_each_key_of_a_result_has_a_description(task):
    schema = whole.of(task).model_json_schema(by_alias=True)
    schema["$defs"]["Result"] = {**schema, "description": whole.Result.__doc__}
    assert list(undescribed(schema)) == []


@pytest.mark.parametrize("task", tasks.TASKS)
def test_each_measure_of_a_task_has_a_meaning(task):
    names, fields = tasks.of(task, "names"), tasks.of(task, "record").Scores.model_fields
    for table in (*SINGLE, *LISTS):
        for name in getattr(names, table):
            assert (name in fields) != (name in names.MEANINGS), name


@pytest.mark.parametrize("name", COMMANDS)
def test_each_flag_has_help_and_each_command_an_example(name):
    assert COMMANDS[name].example.startswith(f"tl-keras {name}")
    for flag in cli.described_flags(name):
        assert len(flag.help.split()) >= 3 and flag.help.endswith("."), flag
    assert cli.SPECIAL_HELP.get(name, {}).keys() <= set(COMMANDS[name].flags)


def test_each_command_has_an_action():
    assert list(commands.ACTIONS) == list(COMMANDS)


def test_each_exit_status_has_a_meaning():
    assert list(EXIT_STATUSES) == [0, 1, 2, 3, 130]
    assert all(len(meaning.split()) >= 3 for meaning in EXIT_STATUSES.values())


def test_each_environment_variable_is_listed():
    from generators import environment  # `generate` has put docs/ on the path.

    reads = r"""environ(?:\.get\(|\.setdefault\(|\.pop\(|\[)\s*"(\w+)"(?!\] =)"""
    for file in PACKAGE.rglob("*.py"):
        for name in re.findall(reads, file.read_text(encoding="utf-8")):
            assert name in environment.VARIABLES, f"{file}: {name}"
