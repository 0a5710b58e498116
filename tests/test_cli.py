"""The command line: exit statuses, clear messages, and no import of TensorFlow before its use."""

import contextlib
import errno
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from runs import make_run

from tl_keras import cli, commands
from tl_keras.command_table import COMMANDS
from tl_keras.config import text as configs
from tl_keras.config.cache import CacheConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data import store
from tl_keras.run import marks
from tl_keras.run.files import write_json

SCRIPTS = sorted((Path(__file__).parents[1] / "pipelines").glob("*.py"))


def fill(folder: Path) -> None:
    """Writes the files that the command lines below name."""
    digits = "data: {source: digits}\n"
    for name, text in {
        "good.yaml": digits,
        "epochs.yaml": f"{digits}fit: {{epochs: 3}}\n",
        "typo.yaml": f"{digits}fit: {{epoch: 3}}\n",
        "two.yaml": "data: {source: digts}\nfit: {epoch: 3}\n",
        "broken.yaml": "data: {source: digits\n",
        "weights.yaml": f"{digits}model: {{weights: lost.h5}}\n",
        "file": "",
        "full/holiday.jpg": "",
        "photos/a/1.jpg": "",
        "damaged/result.json": "{",
        "begun/checkpoint/record.json": '{"pipeline": "finetune"}',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    make_run(folder / "done")
    make_run(folder / "missed", status="loses 0.050 of accuracy")
    make_run(folder / "pretrained", pipeline="pretrain", status=None)
    for name in ("begun", "damaged"):
        marks.put(folder / name, "run")
        (folder / name / "config.yaml").write_text((folder / "done" / "config.yaml").read_text())


# Command lines that exit with 2, and the beginning of their message.
WRONG = [
    ("finetun", "unknown command 'finetun'; did you mean 'finetune'?"),
    ("zzz", "unknown command 'zzz'; known: quickstart, audit, finetune, "),
    ("--workdir=x finetune", "unknown command '--workdir=x'; known: "),
    ("finetune --confg=good.yaml", "unknown flag --confg of finetune; did you mean '--config'?"),
    (
        "finetune --epochs=3",
        "unknown flag --epochs of finetune; known: --config, --data, --workdir, --set",
    ),
    ("schema --zzz", "unknown flag --zzz of schema; known: --of"),
    ("finetune --config", "Missing value for flag --config"),
    ("predict --workdir=done --format=cvs photos", "flag --format=cvs: value should be one of "),
    ("cache --max_bytes=20GB", "flag --max_bytes=20GB: "),
    ("cache --max_bytes=-1", "flag --max_bytes=-1: "),
    (
        "finetune photos",
        "unexpected argument 'photos': finetune takes only flags, as in --workdir=DIR",
    ),
    ("finetune photos --config=good.yaml", "unexpected argument 'photos': finetune takes"),
    ("finetune", "--config: expected a YAML file, or --data=DIR; received neither"),
    ("pretrain --workdir=new", "--config: expected a YAML file, or --data=DIR; received neither"),
    (
        "finetune --config=good.yaml --data=photos",
        "--data: cannot be combined with --config; use --set",
    ),
    ("finetune --set=data.source=digits", "--workdir: expected the run's folder; received nothing"),
    ("finetune --config=god.yaml", "config 'god.yaml' does not exist; did you mean 'good.yaml'?"),
    ("finetune --config=photos", "config 'photos': expected a YAML file; received a folder"),
    ("finetune --config=broken.yaml", "config 'broken.yaml', line 2: invalid YAML: "),
    ("finetune --config=typo.yaml", "fit.epoch: no such field; did you mean 'epochs'?\n"),
    (
        "finetune --config=two.yaml",
        "data.source: expected 'folder', 'csv', 'jsonl', 'tfds', 'digits', 'glyphs' or 'intents'; "
        "received 'digts'; did you mean 'digits'?\n"
        "fit.epoch: no such field; did you mean 'epochs'?\n",
    ),
    (
        "quickstart --modality=txt",
        "--modality: expected 'image' or 'text'; received 'txt'; did you mean 'text'?",
    ),
    ("quickstart --set=fit.epochs", "--set: expected section.field=value; received 'fit.epochs'"),
    (
        "finetune --data=list.csv --set=model.backbone=StaticEmbedding --set=data.modality=image",
        "model.backbone: StaticEmbedding takes examples of the modality 'text', but the modality "
        "of the data is 'image'; ",
    ),
    ("finetune --data=photo", "data.path: expected a folder of class folders, a table "),
    ("finetune --data=list.csv", "data.path: expected a folder of class folders, a table "),
    ("finetune --data=file", "data.path: expected a folder; received the file '"),
    (
        "finetune --config=weights.yaml",
        "model.weights: expected 'imagenet', 'glyphs', 'published', 'minilm', ",
    ),
    ("finetune --config=good.yaml --workdir=file", "--workdir: '{folder}/file' is a file; "),
    ("finetune --config=good.yaml --workdir=file/x", "--workdir: '{folder}/file' is a file; "),
    (
        "finetune --config=good.yaml --workdir=full",
        "--workdir: '{folder}/full' is not a run folder ",
    ),
    (
        "finetune --config=epochs.yaml --workdir=done",
        "--workdir: '{folder}/done' was made with another config: fit.epochs: 'auto' in the "
        "workdir, 3 now; ",
    ),
    (
        "pretrain --config=good.yaml --workdir=done",
        "--workdir: '{folder}/done' was made by the command 'finetune', not by 'pretrain'",
    ),
    (
        "finetune --config=good.yaml --workdir=locked",
        "--workdir: another process is using '{folder}/locked'",
    ),
    (
        "finetune --config=good.yaml --workdir=damaged",
        "'{folder}/damaged/result.json' is damaged; remove the file to continue the run",
    ),
    *(
        (f"{command} {rest}", message)
        for command in ("evaluate", "predict", "export")
        for rest, message in [
            ("", "--workdir: expected the run's folder; received nothing"),
            ("--workdir=photos", "'{folder}/photos' is not a run folder: it has no config.yaml"),
            ("--workdir=begun", "--workdir: '{folder}/begun' is not finished; finish it first"),
        ]
    ),
    ("report", "--workdir: expected the run's folder; received nothing"),
    ("report --workdir=lost", "report: '{folder}/lost' does not exist; pass the folder that was"),
    ("report lost", "report: '{folder}/lost' does not exist; pass the folder that was the "),
    ("report done lost", "report: '{folder}/lost' does not exist; pass the folder that was "),
    ("report done begun", "report: '{folder}/begun' is not finished; finish it first"),
    (
        "report done missed --workdir=done",
        "--workdir: expected the folder of the run either here or as an argument; received 'done' ",
    ),
    (
        "report done --output=x.html",
        "--output: names the page that compares several runs; the report of one run is ",
    ),
    ("report done missed --output=photos", "--output: expected the path of a file; received "),
    ("evaluate --workdir=done --data=file", "--data: 'file' is neither a folder nor a CSV file; "),
    ("evaluate --workdir=done --output=photos", "--output: expected the path of a file; received "),
    ("evaluate --workdir=done --output=file/x", "--output: 'file/x' cannot be written: "),
    (
        "evaluate --workdir=done --data=photos --set=fit.epochs=3",
        "--set: the command 'evaluate' cannot change 'fit.epochs=3'; expected one of the fields ",
    ),
    (
        "evaluate --workdir=done --set=data.label_column=class",
        "--data: data.label_column needs a data set to which it applies; expected a folder or ",
    ),
    ("predict --workdir=done", "predict: expected image files or folders; received none"),
    (
        "predict --workdir=done photos lost.jpg",
        "predict: expected an image or a folder; 'lost.jpg'",
    ),
    ("predict photos --workdir=begun", "--workdir: '{folder}/begun' is not finished; "),
    (
        "export --workdir=done --set=fit.epochs=3",
        "--set: the command 'export' cannot change 'fit.epochs=3'; expected a field of the section",
    ),
    ("export --workdir=done --set=export.formats=[int9]", "export.formats.0: expected 'saved_mod"),
    ("export --workdir=pretrained", "--workdir: the command 'pretrain' makes no exported files; "),
]
FINISHED = """\
finetune finished, 12 s of work
  val accuracy  0.940 on 100 examples (95% interval 0.890 to 0.970)
  test accuracy 0.910 on 100 examples (95% interval 0.890 to 0.970)
  model         MobileNetV2, frozen up to block_12, kept: the mean of initial and fine-tuned weights
  saved_model   1.00 MB, 0.930, 3.1 ms an image on one thread
  float32       1.00 MB, 0.930, 3.1 ms an image on one thread
  float16       1.00 MB, 0.930, 3.1 ms an image on one thread
  dynamic       1.00 MB, 0.930, 3.1 ms an image on one thread
  int8          1.00 MB, 0.930, 3.1 ms an image on one thread
  report        {folder}/done/report.html
"""
RIGHT = [
    ("", "tl-keras: turns labelled images "),
    ("help", "tl-keras: turns labelled images "),
    ("--help", "tl-keras: turns labelled images "),
    ("-h", "tl-keras: turns labelled images "),
    ("--version", "tl-keras 0."),
    *((f"{name} --help", command.summary) for name, command in COMMANDS.items()),
    ("finetune --config=lost.yaml --help", COMMANDS["finetune"].summary),
    ("schema", "{\n"),
    ("cache --cache_path=nothing", "             0  bytes in {folder}/nothing\n"),
    ("finetune --config=good.yaml --workdir=done", FINISHED),
    ("finetune --set=data.source=digits --workdir=done", FINISHED),
    ("evaluate --workdir=done", '{\n "accuracy": 0.91'),
    ("evaluate --workdir=done --output=written/scores.json", ""),
    ("pretrain --config=good.yaml --workdir=pretrained", "pretrain finished, 12 s of work\n"),
    ("report done", "{folder}/done/report.html\n"),
    ("report done missed --output=written/page.html", "written/page.html\n"),
]
MISSED = "finetune --config=good.yaml --workdir=missed"

# Runs all command lines in one process, to check that none of them imports TensorFlow.
DRIVER = """
import contextlib, io, json, sys, traceback
from filelock import FileLock
from tl_keras import cli

answers = {}
for line, words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(words)
        except BaseException:
            status = traceback.format_exc()
    answers[line] = [status, out.getvalue(), err.getvalue()]
loaded = sorted({"tensorflow", "keras", "ai_edge_litert"} & set(sys.modules))
json.dump({"answers": answers, "loaded": loaded}, sys.stdout)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder in which the command lines run."""
    folder = tmp_path_factory.mktemp("cli")
    fill(folder)
    return folder


@pytest.fixture(scope="module")
def outputs(folder) -> dict:
    """The outputs of all command lines, and which heavy libraries were imported."""
    lines = [line for line, _ in (*WRONG, *RIGHT)] + [MISSED]
    marks.put(folder / "locked", "run")
    lock = "import sys; from filelock import FileLock\nwith FileLock('locked/.lock'): "
    before = {path.name for path in folder.iterdir()}
    with subprocess.Popen(
        [sys.executable, "-c", f"{lock}print('locked', flush=True); sys.stdin.read()"],
        **{"cwd": folder, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", DRIVER],
            **{"cwd": folder, "capture_output": True, "text": True, "check": True},
            input=json.dumps([[line, shlex.split(line)] for line in lines]),
        )
        other.kill()
    made = {path.name for path in folder.iterdir()} - before
    return {**json.loads(done.stdout), "made": made, "stderr": done.stderr}


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_user_errors_exit_with_2_and_one_message(line, message, outputs, folder):
    status, out, err = outputs["answers"][line]
    assert status == 2
    assert out == ""
    assert err.startswith("tl-keras: " + message.replace("{folder}", str(folder)))
    assert "Traceback" not in err
    assert err.count("\n") == (2 if "two.yaml" in line else 1)


@pytest.mark.parametrize(("line", "answer"), RIGHT)
def test_correct_command_lines_exit_with_0(line, answer, outputs, folder):
    status, out, err = outputs["answers"][line]
    assert status == 0
    assert out.startswith(answer.replace("{folder}", str(folder)))
    assert err == ""


def test_none_of_the_command_lines_imports_tensorflow(outputs):
    assert outputs["loaded"] == []
    assert outputs["stderr"] == ""


def test_user_errors_create_no_folder(outputs):
    assert outputs["made"] == {"written"}


def test_missed_tolerance_exits_with_3_and_its_message_each_time(outputs, folder, capsys):
    status, out, err = outputs["answers"][MISSED]
    assert status == 3
    assert "finetune finished" in out
    assert err == "tl-keras: int8: loses 0.050 of accuracy\n"
    line = MISSED.replace("good", f"{folder}/good").replace("missed", f"{folder}/missed")
    for _ in range(2):
        assert cli.main(shlex.split(line)) == 3
        assert capsys.readouterr().err == err


def test_output_file_equals_the_printed_output(outputs, folder):
    written = (folder / "written" / "scores.json").read_text()
    assert written == outputs["answers"]["evaluate --workdir=done"][1]


def test_help_names_every_flag_and_command(outputs):
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} ", outputs["answers"]["--help"][1], re.MULTILINE)
        text = outputs["answers"][f"{name} --help"][1]
        assert re.findall(r"^  --(\w+): .*\.$", text, re.MULTILINE) == list(command.flags)
        assert f"usage: tl-keras {name} [--flag=value ...]" in text


def test_schema_is_json(outputs):
    assert json.loads(outputs["answers"]["schema"][1]) == configs.schema()


# The following tests plant a fault and cannot use the driver.


@pytest.fixture
def approach(monkeypatch, tmp_path):
    """Replaces the finetune approach by a function; returns a command line that calls it."""

    def put(function) -> list[str]:
        module = SimpleNamespace(run=function)
        monkeypatch.setitem(sys.modules, "tl_keras.approaches.finetune", module)
        monkeypatch.setattr(commands, "_started", contextlib.nullcontext)
        fill(tmp_path)
        return ["finetune", f"--config={tmp_path}/good.yaml", f"--workdir={tmp_path}/run"]

    return put


def raising(error):
    def run(config, workdir):
        raise error

    return run


@pytest.mark.parametrize(
    "error", [RuntimeError("ours"), KeyError("ours"), OSError("ours"), ValueError("ours")]
)
def test_errors_from_outside_the_package_keep_their_traceback(approach, error):
    # A ValueError raised outside the package counts, too, since its message helps no user.
    with pytest.raises(type(error), match="ours"):
        cli.main(approach(raising(error)))


# A function that seems to be in the package; errors raised in C have no source line of their own.
INSIDE: dict = {}
exec(compile("def run(config, workdir): int('x')", cli.__file__, "exec"), INSIDE)


@pytest.mark.parametrize(
    "fault",
    [
        lambda config, workdir: np.zeros(3).reshape(2),
        lambda config, workdir: write_json(workdir / "x.json", float("nan")),
        lambda config, workdir: RunConfig(seed=-1),
        INSIDE["run"],
    ],
)
def test_value_errors_of_libraries_keep_their_traceback(approach, fault):
    with pytest.raises(ValueError):
        cli.main(approach(fault))


def test_bug_exits_with_1_and_a_traceback():
    code = (
        "import sys\nfrom tl_keras import cli\nfrom tl_keras.config import text\n"
        "text.schema = lambda: 1 / 0\nsys.exit(cli.main(['schema']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "ZeroDivisionError" in done.stderr


def test_value_errors_raised_by_the_package_are_user_errors(approach, capsys):
    assert cli.main(approach(lambda config, workdir: configs.load(workdir / "lost.yaml"))) == 2
    assert capsys.readouterr().err.endswith("lost.yaml' does not exist\n")


def test_diverged_training_is_a_user_error(approach, capsys):
    error = FloatingPointError("fit.learning_rate: the loss is nan")
    assert cli.main(approach(raising(error))) == 2
    assert capsys.readouterr().err == "tl-keras: fit.learning_rate: the loss is nan\n"


def test_full_disk_is_a_user_error(approach, capsys):
    error = OSError(errno.ENOSPC, "No space left on device", "runs/x/model.keras")
    assert cli.main(approach(raising(error))) == 2
    assert capsys.readouterr().err == "tl-keras: 'runs/x/model.keras': No space left on device\n"
    with pytest.raises(OSError, match="Input/output error"):
        cli.main(approach(raising(OSError(errno.EIO, "Input/output error"))))


def test_ctrl_c_exits_with_130_and_says_how_to_resume(approach, capsys):
    assert cli.main(approach(raising(KeyboardInterrupt()))) == 130
    assert (
        capsys.readouterr().err.strip() == "tl-keras: stopped; the same command continues from here"
    )


def test_new_run_is_trained_and_summarised(approach, capsys):
    def run(config, workdir):
        make_run(workdir)
        return commands.runs.load(workdir)

    line = approach(run)
    assert cli.main(line) == 0
    assert "finetune finished, 12 s of work" in capsys.readouterr().out
    approach(raising(RuntimeError("it ran again")))
    assert cli.main(line) == 0


def test_adding_export_formats_runs_the_approach_again(approach, tmp_path):
    seen = []

    def run(config, workdir):
        seen.append(config)
        return commands.runs.load(workdir)

    approach(run)
    (tmp_path / "done" / "model.keras").touch()
    line = ["export", f"--workdir={tmp_path}/done", "--set=export.formats=[int8]"]
    assert cli.main(line) == 0
    assert seen[0].export.formats == ("int8",)


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--data=photos", "photos"),
        ("--data=photos/", "photos"),
        ("--data=sub/photos.v2", "photos.v2"),
        ("--data=sub/..", "{here}"),
        ("--data=list.csv", "list"),
        ("--config=sub/good.yaml", "good"),
    ],
)
def test_default_workdir_is_named_after_config_or_data(approach, tmp_path, monkeypatch, flag, name):
    seen = []

    def run(config, workdir):
        seen.append(workdir)
        return commands.runs.load(make_run(tmp_path / "other"))

    approach(run)
    for path in ("photos", "sub/photos.v2"):
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
    (tmp_path / "list.csv").touch()
    (tmp_path / "sub" / "good.yaml").write_text("data: {source: digits}")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["finetune", flag]) == 0
    assert seen == [Path("runs", name.replace("{here}", tmp_path.name))]


@pytest.mark.parametrize(
    "name", ["größe 漢字 🌼", "a: b #c", "'q' \"r\"", "~", "no", "1e-5", "[x]"]
)
def test_data_may_have_any_name(approach, tmp_path, monkeypatch, name):
    seen = []

    def run(config, workdir):
        seen.append(config.data)
        return commands.runs.load(make_run(tmp_path / "other"))

    approach(run)
    (tmp_path / "in" / name).mkdir(parents=True)
    assert cli.main(["finetune", f"--data={tmp_path}/in/{name}", f"--workdir={tmp_path}/new"]) == 0
    assert (seen[0].source, seen[0].path) == ("folder", f"{tmp_path}/in/{name}")


def test_outdated_report_is_rewritten(tmp_path, capsys):
    workdir = make_run(tmp_path / "run")
    os.utime(workdir / "report.html", (0, 0))
    (tmp_path / "good.yaml").write_text("data: {source: digits}")
    line = ["finetune", f"--config={tmp_path}/good.yaml", f"--workdir={workdir}"]
    assert cli.main(line) == 0
    assert "<html" in (workdir / "report.html").read_text()


def test_report_of_an_unfinished_run_says_so(tmp_path, capsys):
    fill(tmp_path)
    assert cli.main(["report", f"--workdir={tmp_path}/begun"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/begun/report.html\n"
    assert "has not finished" in (tmp_path / "begun" / "report.html").read_text()


def test_report_prints_why_no_file_can_be_shipped(tmp_path, capsys):
    workdir = make_run(tmp_path / "run")
    file = workdir / "result.json"
    shipped = {"format": None, "status": "no LiteRT file passed its comparison with model.keras"}
    write_json(file, {**json.loads(file.read_text()), "shipped": shipped})
    assert cli.main(["report", str(workdir)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{workdir}/report.html\n"
    reason = "no LiteRT file passed its comparison with model.keras"
    assert said.err == f"tl-keras: model.tflite: {reason}\n"


def test_comparison_of_several_runs_is_written_to_the_current_folder(tmp_path, monkeypatch, capsys):
    for seed, name in enumerate(("one", "two")):
        make_run(tmp_path / name, seed=seed)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "one", "two"]) == 0
    assert capsys.readouterr().out == "comparison.html\n"
    text = (tmp_path / "comparison.html").read_text()
    assert "A: one" in text and "B: two" in text and "<td>seed</td><td>0</td><td>1</td>" in text


def test_runs_with_outdated_configs_can_be_reported(tmp_path, monkeypatch, capsys):
    for name in ("one", "two"):
        make_run(tmp_path / name)
        (tmp_path / name / "config.yaml").write_text("fit: {field_of_old: 3}\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "one"]) == cli.main(["report", "one", "two"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/one/report.html\ncomparison.html\n"


def test_report_of_a_data_check_needs_no_run(tmp_path, capsys):
    marks.put(tmp_path, "run")
    write_json(tmp_path / "findings.json", {"rare": [{"class": "moth", "n": 3}]})
    write_json(tmp_path / "data.json", {"classes": ["ant", "moth"], "splits": {"train": ["a.png"]}})
    assert cli.main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/report.html\n"
    assert "1 image in 2 classes; 1 finding" in (tmp_path / "report.html").read_text()


def test_cache_is_listed_and_cleaned(tmp_path, capsys):
    config = CacheConfig(path=str(tmp_path))
    for i in range(3):
        kept = store.keep(config, {"kind": "images", "i": i}, (100,), np.uint8, lambda a: a.fill(0))
        assert not kept.cached
    size = store.entries(config)[0].bytes
    assert cli.main(["cache", f"--cache_path={tmp_path}"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[0].strip() == "bytes  array, least recently used first"
    assert listed[1:4] == [f"{size:>14}  images"] * 3
    assert listed[4] == f"{3 * size:>14}  bytes in {tmp_path}"
    assert cli.main(["cache", f"--cache_path={tmp_path}", f"--max_bytes={size}"]) == 0
    assert f"removed 2 arrays, {2 * size} bytes" in capsys.readouterr().out
    assert [entry.bytes for entry in store.entries(config)] == [size]
    assert cli.main(["cache", f"--cache_path={tmp_path}", "--max_bytes=0"]) == 0
    assert store.entries(config) == []


@pytest.mark.parametrize("command", ["schema", "--help"])
def test_closed_pipe_prints_no_traceback(command):
    """As in `tl-keras schema | head`."""
    line = [sys.executable, "-m", "tl_keras", command]
    # Buffered, as in a shell: the process then notices the closed pipe only when it ends.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_every_command_has_a_script():
    assert {script.stem for script in SCRIPTS} == set(COMMANDS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_calls_its_command(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(COMMANDS[script.stem].summary)


def test_script_can_be_executed():
    line = [sys.executable, str(SCRIPTS[0]), "--zzz"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"tl-keras: unknown flag --zzz of {SCRIPTS[0].stem}")
