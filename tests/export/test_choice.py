"""The choice of the file to ship: by validation, within the limits of the config."""

from handmade import exported, verdict

from tl_keras.config.export import ExportConfig
from tl_keras.export.choice import choose
from tl_keras.run.result.exports import Exported, Latency, Shipped


def entry(
    size: int, milliseconds: float, lost: float = 0.0, status: str = "ok", n: int = 1000
) -> Exported:
    latency = Latency(median=milliseconds, least=milliseconds)
    return exported("file", size, status, latency_ms=latency, val=verdict(lost, n=n))


FILES = {
    "saved_model": exported("saved_model", 1, latency_ms=None),
    "float32": entry(9_000_000, 4.0),
    "dynamic": entry(2_500_000, 3.0),
    "int8": entry(2_700_000, 2.0),
}


def chosen(files: dict, **limits) -> Shipped:
    smaller = ("a lower model.options.alpha", "another model.backbone")
    return choose(files, ExportConfig(**limits), smaller, ("a smaller image.size",))


def test_fastest_of_the_small_files_is_chosen():
    assert chosen(FILES) == Shipped(format="int8", status="ok")
    assert chosen({**FILES, "int8": entry(2_700_000, 3.5)})["format"] == "dynamic"
    assert chosen({**FILES, "int8": entry(4_000_000, 1.0)})["format"] == "dynamic"


def test_file_that_loses_on_validation_is_not_chosen():
    files = {**FILES, "int8": entry(2_700_000, 2.0, lost=0.02)}
    assert chosen(files)["format"] == "dynamic"
    assert chosen(files, max_accuracy_drop=0.03)["format"] == "int8"
    # If every file within the limits loses too much, the one with the least loss is chosen.
    files |= {"dynamic": entry(2_500_000, 3.0, lost=0.05)}
    assert chosen(files, max_bytes=3e6)["format"] == "int8"


def test_one_wrong_image_of_a_few_does_not_count_as_a_loss():
    files = {**FILES, "int8": entry(2_700_000, 2.0, lost=1 / 30, n=30)}
    assert chosen(files)["format"] == "int8"
    files["int8"] = entry(2_700_000, 2.0, lost=2 / 30, n=30)
    assert chosen(files)["format"] == "dynamic"


def test_test_scores_do_not_influence_the_choice():
    files = {name: file.model_copy(update={"accuracy": 0.9}) for name, file in FILES.items()}
    files["int8"] = FILES["int8"].model_copy(update={"accuracy": 0.1})
    assert chosen(files)["format"] == "int8"


def test_rejected_file_is_not_chosen():
    files = {**FILES, "int8": entry(2_700_000, 2.0, status="loses 0.2")}
    assert chosen(files)["format"] == "dynamic"
    every = {"int8": files["int8"]}
    status = "no LiteRT file passed its comparison with model.keras"
    assert chosen(every) == Shipped(format=None, status=status)


def test_chosen_file_is_within_the_limits():
    assert chosen(FILES, max_bytes=2.6e6)["format"] == "dynamic"
    assert chosen(FILES, max_latency_ms=2.5)["format"] == "int8"


def test_status_names_only_the_limit_that_no_file_keeps():
    shipped = chosen(FILES, max_bytes=1e6, max_latency_ms=50)
    assert shipped["format"] is None
    assert shipped.reason == (
        "export.max_bytes is 1,000,000, but the smallest file, dynamic, has 2,500,000 bytes"
    )
    # A smaller image.size leaves the number of weights as it is.
    assert shipped["status"] == (
        f"{shipped.reason}. Raise the limit with tl-keras export --workdir=... --set "
        "export.max_bytes=..., or train in a new --workdir with a lower model.options.alpha or "
        "another model.backbone"
    )


def test_status_advises_smaller_examples_for_a_faster_file():
    shipped = chosen(FILES, max_bytes=1e7, max_latency_ms=1)
    assert shipped.reason == ("export.max_latency_ms is 1, but the fastest file, int8, takes 2 ms")
    assert "--set export.max_latency_ms=..., or train" in shipped.status
    assert shipped.status.endswith(
        "a smaller image.size, a lower model.options.alpha or another model.backbone"
    )


def test_status_names_both_limits_if_both_are_missed():
    shipped = chosen(FILES, max_bytes=1e6, max_latency_ms=1)
    assert "export.max_bytes is 1,000,000" in shipped.reason
    assert "export.max_latency_ms is 1, but" in shipped.reason
    assert "--set export.max_bytes=... --set export.max_latency_ms=..., or" in shipped.status


def test_status_names_the_closest_file_if_no_file_keeps_both_limits():
    shipped = chosen(FILES, max_bytes=2.6e6, max_latency_ms=2.5)
    assert shipped.reason == (
        "no file is within both export.max_bytes 2,600,000 and export.max_latency_ms 2.5; the "
        "closest file, int8, has 2,700,000 bytes and takes 2 ms"
    )


def test_run_without_litert_files_ships_none():
    assert chosen({"saved_model": FILES["saved_model"]}) == Shipped(format=None, status="ok")
    assert chosen({}) == Shipped(format=None, status="ok")
