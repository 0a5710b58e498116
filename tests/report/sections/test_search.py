"""Tests of the report of a search: the sentence on depth, advice, charts and odd records."""

import json
import re

import pytest
from handmade import SCRIPT, Outline, candidate, change, rewrite
from handmade_search import RATES, N, lost, searched, several_architectures, trial

from tl_keras.report.advice import on_search, rules
from tl_keras.report.drawings import search_charts
from tl_keras.report.drawings.search_charts import Estimate
from tl_keras.report.facts import trials
from tl_keras.report.pages import card, page
from tl_keras.report.read import read
from tl_keras.report.sections import search
from tl_keras.run.result.search import SearchRecord, TrialRecord
from tl_keras.run.result.training import ModelRecord
from tl_keras.run.result.whole import to_json


def put(workdir, record: SearchRecord, space: object = None):
    """Returns the run after its search was replaced."""
    rewrite(workdir, search=record)
    if space is not None:
        (workdir / "config.yaml").write_text(json.dumps({"search": {"space": space}}))
    return read(workdir)


def sentence(workdir, *made: TrialRecord, **others) -> str:
    return on_search.depth(trials.searched(put(workdir, searched(*made, **others))))


def advice(run) -> str:
    return "\n".join(f"{do} {why}" for do, why in on_search.advice(run))


def test_best_depth_is_compared_with_the_head_alone(workdir):
    text = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.75, 7), trial(2, 1.0, 25))
    assert text == (
        "Freeze 0.5 of the blocks (up to block_6): on 100 validation examples, this is 20.0 points "
        "better than the head-only model (paired 95% interval 11.4 to 27.8). A frozen share of "
        "0.75 is not shown to be worse than the best trial, and 0.75 is the cheapest to train."
    )


def test_without_the_head_alone_the_nearest_depth_is_named(workdir):
    text = sentence(workdir, trial(0, 0.0, 2), trial(1, 0.5, 20), trial(2, 0.75, 30))
    assert text.startswith("Freeze nothing: on 100 validation examples, this is 18.0 points")
    assert "than a frozen share of 0.5 (paired 95% interval " in text and "not shown" not in text


def test_depths_without_a_clear_difference_are_listed(workdir):
    text = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.75, 6), trial(2, 1.0, 7))
    assert text == (
        "On 100 validation examples, the freeze depth makes no clear difference: frozen shares of "
        "0.5, 0.75 and 1 of the blocks give about the same result. A share of 1 (only the head is "
        "trained) is the cheapest to train."
    )


def test_a_trial_that_kept_the_head_is_a_trial_of_the_head_alone(workdir):
    kept = trial(2, 0.75, 30, kept="head")
    text = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.75, 6), kept)
    assert "0.5 and 0.75 of the blocks give about the same result. A share of 0.75 is the" in text
    assert "to train; the best trial is 25.0 points better than the head-only model" in text


def test_if_every_trial_kept_the_head_then_train_the_head_alone(workdir):
    made = [trial(i, share, 9, kept="head") for i, share in enumerate((0.75, 0.25, 0.5))]
    assert sentence(workdir, *made) == (
        "Train only the head. Fine-tuning with frozen shares of 0.25, 0.5 and 0.75 of the blocks "
        "never gave a better validation score than the head-only model."
    )
    assert not advice(read(workdir))  # Trials with equal answers leave nothing to chance.


@pytest.mark.parametrize(
    ("made", "start"),
    [
        ([trial(0, 0.5, 5)], "Only one trial produced a model, so there is nothing to compare it"),
        ([lost(0, "diverged")], "No trial produced a model, so there is nothing to compare."),
        ([trial(0, 0.5, 5), trial(1, 0.5, 6)], "All trials freeze 0.5 of the blocks (up to blo"),
        ([trial(0, 1.0, 5), trial(1, 1.0, 6)], "All trials train only the head, so nothing is"),
        ([trial(0, 0.5, 5, depth=None), trial(1, 0.5, 6)], ""),
        (
            [trial(0, 0.5, 5, wrong=None), trial(1, 1, 6)],
            "Freeze 0.5 of the blocks (up to block_6)",
        ),
        ([trial(0, 0.5, 5, n=None), trial(1, 0.25, 6)], "Freeze 0.5 of the blocks (up to blo"),
        ([trial(0, 0.5, 5, wrong=[1, N]), trial(1, 1, 6)], "Freeze 0.5 of the blocks (up to blo"),
    ],
)
def test_missing_facts_shorten_the_sentence(workdir, made, start):
    text = sentence(workdir, *made)
    assert text.startswith(start) and bool(text) == bool(start)
    assert "interval" not in text


def test_another_objective_may_rank_a_less_accurate_trial_first(workdir):
    made = [trial(0, 0.5, 30, score=-0.1), trial(1, 0.75, 5, score=-0.3)]
    text = sentence(workdir, *made, objective="log_loss subject to bytes <= 3e6")
    assert text == (
        "Freeze 0.5 of the blocks (up to block_6). A frozen share of 0.75 gave more right answers "
        "than the best trial, but a worse log loss."
    )


def test_depths_of_other_architectures_are_not_compared(workdir):
    text = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.25, 40, label="other"), trial(2, 0.5, 9))
    assert text.startswith("All trials freeze 0.5")


def test_best_depth_at_the_edge_asks_for_fewer_frozen_blocks(workdir):
    record = searched(trial(0, 0.5, 5), trial(1, 1.0, 30))
    line = advice(put(workdir, record))
    assert "let fit.freeze in search.space go below 0.5. The best trial froze the smallest" in line
    assert "25.0 points better than the head-only model" in line
    assert "go below" not in advice(put(workdir, searched(*record.trials, trial(2, 0.25, 20))))
    assert "go below" not in advice(put(workdir, searched(*record.trials, lost(2, "diverged"))))
    assert "go below" not in advice(put(workdir, searched(trial(0, 0.0, 5), trial(1, 1.0, 30))))
    assert "go below" not in advice(put(workdir, searched(trial(0, 0.5, 0), trial(1, 1.0, 30))))


def test_a_cheaper_depth_without_loss_is_recommended(workdir):
    many = 10_000
    made = [trial(0, 0.5, 5, n=many), trial(1, 0.75, 6, n=many), trial(2, 1.0, 7, n=many)]
    line = advice(put(workdir, searched(*made)))
    assert "freeze more blocks to train faster: --set fit.freeze=1. On 10,000 validation" in line
    assert "Freezing more blocks may still lower the accuracy by up to 0.1 points." in line
    few = [trial(0, 0.5, 5), trial(1, 0.75, 9)]  # A loss of 5 points is not excluded.
    assert "freeze more" not in advice(put(workdir, searched(*few)))


@pytest.mark.parametrize(
    ("rate", "space", "text"),
    [
        (
            1.5e-5,
            RATES,
            "lower its min. The best learning rate, 1.5e-05, is at an end of the range",
        ),
        (8e-3, RATES, "raise its max"),
        (3e-4, RATES, ""),
        (8e-3, [1e-5, "auto", 8e-3], "raise its max"),
        (8e-3, [8e-3], ""),
        (8e-3, {"min": SCRIPT, "max": None}, ""),
        (8e-3, SCRIPT, ""),
    ],
)
def test_best_rate_at_an_end_asks_for_a_wider_range(workdir, rate, space, text):
    made = searched(trial(0, 0.5, 5, rate), trial(1, 0.5, 30))
    line = advice(put(workdir, made, {"fit.learning_rate": space}))
    assert text in line and bool(text) == ("Widen fit.learning_rate" in line)
    assert "only by chance" not in line


def test_best_rate_at_an_end_may_be_chance_or_the_last_that_trains(workdir):
    space, made = {"fit.learning_rate": RATES}, [trial(0, 0.5, 5, 8e-3), trial(1, 0.5, 6)]
    assert "is best only by chance" in advice(put(workdir, searched(*made), space))
    line = advice(put(workdir, searched(*made, lost(2, "diverged", 9e-3)), space))
    assert "Widen" not in line
    # The learning rate has no effect on a head alone.
    kept = [made[0].model_copy(update={"kept": "head"}), made[1]]
    assert "Widen" not in advice(put(workdir, searched(*kept), space))


def test_diverged_trials_ask_for_lower_rates(workdir):
    made = [trial(0, 0.5, 5), lost(1, "diverged", 5e-3), lost(2, "diverged", 8e-3)]
    assert advice(put(workdir, searched(*made))) == (
        "Lower the upper end of fit.learning_rate in search.space. 2 of 3 trials diverged; the "
        "lowest learning rate of the diverged trials is 0.005. The highest learning rate of a "
        "trial that produced a model is 0.0003."
    )
    made[1:] = [record.model_copy(update={"values": {}}) for record in made[1:]]
    assert "Lower fit.learning_rate. 2 of 3 trials" in advice(put(workdir, searched(*made)))


def test_trials_without_clear_differences_ask_for_more_examples(workdir):
    made = [trial(0, 0.5, 5), trial(1, 0.5, 6), trial(2, 0.5, 7), trial(3, 0.5, 40)]
    line = advice(put(workdir, searched(*made)))
    assert "Set more validation examples aside" in line
    assert "2 of 4 trials are not shown to be worse than the best trial on 100 validation" in line
    assert not advice(put(workdir, searched(made[0], made[3])))
    made = [trial(i, 0.5, 90 + i, n=10_000, accuracy=0.98) for i in range(2)]
    assert not advice(put(workdir, searched(*made)))  # Less than a point is at stake.
    assert not advice(put(workdir, searched(trial(0, 0.5, 0), trial(1, 0.5, 1))))


def test_advice_on_depth_comes_from_the_trials(workdir):
    candidates = {"head": candidate(), "finetuned": candidate(won=30, lost=1)}
    rewrite(workdir, model=ModelRecord(cut="add", freeze=0.5, candidates=candidates))

    def lines(*shares: float) -> str:
        made = searched(*(trial(i, share, 5 + 30 * i) for i, share in enumerate(shares)))
        return "\n".join(line.do for line in rules.what_to_do(put(workdir, made)))

    assert "Unfreeze more layers: --set" in lines(0.5, 0.5)
    assert "Unfreeze more layers: --set" not in lines(0.5, 0.25)
    assert "Search again and unfreeze more layers" in lines(0.5, 0.75)


def section(workdir, record: SearchRecord) -> str:
    """Returns the section on a search, as HTML."""
    rewrite(workdir, search=record)
    return written(workdir)


def written(workdir) -> str:
    """Returns the section on the run's search, as HTML; "" if there is none."""
    text = page.write(workdir).read_text(encoding="utf-8")
    Outline(text)
    start = text.find('<section id="search">')
    return text[start : text.index("</section>", start)] if start >= 0 else ""


def test_section_follows_the_scores_and_shows_every_fact(workdir):
    body = section(workdir, several_architectures())
    text = (workdir / "report.html").read_text()
    assert re.findall("<h2>([^<]*)</h2>", text)[2:4] == ["Scores", "Search"]
    outline = Outline(body + "</section>")
    assert outline.tags.count("svg") == 6
    for words in [
        *("11 trials in 1 min 0 s, 7.5 s saved by stored activations", "Frozen up to", "trial_010"),
        *("The best of 9 trials was chosen on the same examples", "95.0%", "of 100", "0.250"),
        *("fit.freeze", "0.0001", "block_3", "diverged", "over the limit", "Best trade-off by"),
        *("4.5 s", "4.0 MB", "9000.0 MB", "99", "size and latency", "tied"),
        *("Trust the test score", "fine-tuned", "rounded to whole blocks"),
    ]:
        assert words in outline.words, words
    assert outline.words.count("size and latency") == 2  # One of three architectures is beaten.


def test_hostile_text_stays_text_and_out_of_charts(workdir):
    body = section(workdir, several_architectures())
    outline = Outline(body + "</section>")
    assert "script" not in outline.tags and SCRIPT not in body
    for svg in re.findall("<svg.*?</svg>", body, flags=re.DOTALL):
        assert "alert" not in svg and "break_it" not in svg
    assert any(f"tuner {SCRIPT}" in piece for piece in outline.text)
    assert any(f"loss is NaN at {SCRIPT}" in piece for piece in outline.text)
    assert SCRIPT not in (workdir / "MODEL_CARD.md").read_text()


def test_charts_have_unique_ids_and_the_colours_of_the_page(workdir):
    section(workdir, several_architectures())
    text = (workdir / "report.html").read_text()
    ids = [value for _, name, value in Outline(text).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert "var(--series)" in text and "#aa00" not in text
    assert page.write(workdir).read_text() == text


def test_charts_have_alternative_texts(workdir):
    body = section(workdir, several_architectures())
    labels = [v for _, name, v in Outline(body + "</section>").attributes if name == "aria-label"]
    for words in [
        "Validation accuracy by share of frozen blocks: 0.5 frozen, 95.0% (88.8 to 97.8); 0.75 fr",
        "the head-only model 80.0%.",
        "Validation accuracy by learning rate: 2 trials; the highest accuracy, 95.0%, is at ",
        "Best accuracy so far (%) by time: from 80 after 5 seconds to 90 after 10; the search took",
        "Trials as lines across 4 fields and the accuracy: 11 trials, 2 of which produced no model",
        "Validation accuracy by size, MB: model 1 at 4, 95.0% (88.8 to 97.8); model 2 at 1, 91.0%",
        "Validation accuracy by latency, ms: model 1 at 4, 95.0%",
    ]:
        assert any(words in label for label in labels), words


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        ({i: Estimate(0.091 + 0.001 * i, 0.9, 0.88, 0.92) for i in (1, 2, 3)}, ["1, 2, 3"]),
        ({1: Estimate(1.0, 0.9, 0.8, 0.95), 2: Estimate(50.0, 0.9, 0.8, 0.95)}, ["1", "2"]),
    ],
)
def test_points_that_are_too_close_share_a_label(points, labels):
    svg = search_charts.pareto("latency, ms", points, "Test")
    texts = re.findall(">([^<>]+)</text>", svg)
    assert [text for text in texts if re.fullmatch(r"[1-3](, [1-3])*", text)][-len(labels) :] == (
        labels
    )
    assert 'aria-label="Test accuracy by latency, ms: model 1 at ' in svg


def test_an_axis_of_close_costs_begins_at_zero_and_has_few_ticks():
    svg = search_charts.pareto("latency, ms", {1: Estimate(0.091, 0.9, 0.88, 0.92)})
    ticks = [text for text in re.findall(">([^<>]+)</text>", svg) if text.startswith("0.")]
    assert ticks[0] == "0.000" and len(ticks) <= 5


def test_axes_of_percentages_end_at_100():
    made = {name: Estimate(i, 0.97, 0.2, 1.0) for i, name in enumerate(("head", "full"))}
    charts = [
        search_charts.by_name(made, "test"),
        search_charts.pareto("size, MB", {1: Estimate(2.0, 1.0, 0.2, 1.0)}),
        search_charts.depth_curve([Estimate(0.5, 1.0, 0.2, 1.0)], [], None),
        search_charts.by_rate([("trials", [(1e-3, 1.0), (1e-2, 0.1)])], None),
        search_charts.best_so_far([(1.0, 10.0), (2.0, 100.0)], [], 3.0),
        search_charts.by_examples([(10, 0.1), (20, 1.0)]),
    ]
    for svg in charts:
        ticks = [float(text) for text in re.findall(">([0-9.]+)</text>", svg)]
        assert 100 in ticks and max(ticks) == 100, ticks


def test_a_single_trial_has_no_chart(workdir):
    body = section(workdir, searched(trial(0, 0.5, 5)))
    assert "Only one trial produced a model" in body and "trial_000" in body
    assert "<svg" not in body and "chosen on the same examples" not in body


def test_architectures_are_shown_even_if_no_trial_has_a_model(workdir):
    made = [lost(i, "over the limit", label=f"size {i}", bytes=1e9 * (i + 1)) for i in range(2)]
    body = section(workdir, searched(*made))
    assert "No trial produced a model" in body and "2000.0 MB" in body


def test_of_many_trials_the_best_are_shown(workdir):
    made = [trial(i, (i % 4) / 4, i % 60, 1e-4 * (i + 1)) for i in range(70)]
    body = section(workdir, searched(*made, lost(70, "diverged")))
    assert "71 trials, the best first; 50 are shown, all are in result.json." in body
    assert body.count("<tr>") == 51


def test_many_depths_are_grouped_by_quarters(workdir):
    made = [trial(i, i / 16, 5 + i, 1e-4 * (i + 1)) for i in range(16)]
    body = section(workdir, searched(*made))
    assert ">0.25 to 0.5<" in body and ">0.75 to 1<" in body


ODD = (None, [], {}, "text", SCRIPT, -1, 0, 1e300, float("nan"), True, [None], {"share": {}})


KEYS = [*TrialRecord.model_fields, "accuracy", "log_loss", "wrong"]


def test_any_odd_value_in_a_trial_is_survived(workdir):
    best = to_json(trial(0, 0.5, 5, 1e-4, bytes=1e6, latency_ms=1.0))
    odd = [
        to_json(trial(i, i / 9, 9, 1e-4 * i)) | {key: value}
        for key in KEYS
        for i, value in enumerate(ODD, start=1)
    ]
    deeper = [to_json(trial(1, 0.5, 9)) | {"depth": {"share": value}} for value in ODD]
    record = to_json(searched(trial(0, 0.5, 5)))
    record["trials"] = [best, *odd, *deeper, to_json(lost(3, "diverged")), None, [], SCRIPT]
    change(workdir, "result.json", search=record)
    body = written(workdir)
    assert SCRIPT not in body and body.count("<svg") >= 4
    run = read(workdir)
    assert advice(run)
    named = {line.partition(":")[0].split(".")[3] for line in run.unread if line.count(".") > 2}
    assert named >= {"seconds", "status", "score", "label", "depth", "head", "left_out", "wrong"}
    assert "Look at result.json: " in (workdir / "report.html").read_text()


@pytest.mark.parametrize("key", KEYS)
def test_any_key_may_be_missing_from_the_best_trial(workdir, key):
    made = [trial(i, i / 2, 5 + i, 1e-4 * (i + 1), bytes=i * 1e6) for i in range(3)]
    record = to_json(searched(*made))
    record["trials"][0].pop(key, None)
    change(workdir, "result.json", search=record)
    run = read(workdir)
    Outline(search.search(run)), advice(run), card.render(run)
    missing = [line.partition(":")[0] for line in run.unread]
    assert missing == ([f"search.trials.0.{key}"] if key in NEEDED else [])


NEEDED = [name for name, field in TrialRecord.model_fields.items() if field.is_required()]


@pytest.mark.parametrize("key", SearchRecord.model_fields)
def test_any_key_of_a_search_may_be_missing_or_odd(workdir, key):
    record = to_json(searched(trial(0, 0.5, 5), trial(1, 0.5, 6)))
    without = {name: value for name, value in record.items() if name != key}
    for odd in (*({**record, key: value} for value in ODD), without):
        change(workdir, "result.json", search=odd)
        run = read(workdir)
        Outline(search.search(run)), advice(run), card.render(run)


@pytest.mark.parametrize("value", ODD)
def test_an_invalid_search_has_no_section(workdir, value):
    change(workdir, "result.json", search=value)
    assert written(workdir) == ""
    assert "- search: " not in (workdir / "MODEL_CARD.md").read_text()


def test_hyperband_compares_trials_with_equal_epochs(workdir):
    made = [
        trial(i, share, misses, values={"fit.freeze": share, "fit.epochs": epochs})
        for i, (share, misses, epochs) in enumerate([(0.5, 5, 9), (0.75, 6, 9), (0.25, 60, 1)])
    ]
    text = sentence(workdir, *made, tuner="hyperband")
    assert "0.5 and 0.75 of the blocks give about the same" in text and "0.25" not in text
    assert "than a frozen share of 0.25" in sentence(workdir, *made)
    head = trial(3, 1.0, 30, values={"fit.freeze": 1.0, "fit.epochs": 1})
    text = sentence(workdir, *made, head, tuner="hyperband")
    assert "25.0 points better than the head-only model" in text
    # If the head alone is best, it is compared with the trials of the most epochs.
    best = trial(3, 1.0, 0, values=head.values)
    text = sentence(workdir, best, *made, tuner="hyperband")
    assert text.startswith("Train only the head") and "0.25" not in text


def test_the_reason_for_a_single_trial_is_given(workdir):
    text = sentence(workdir, trial(0, 0.5, 1, kept="head", left_out=True))
    assert text.startswith("Train only the head. On ")
    assert "not even a model without mistakes could be shown to be better" in text


def test_long_values_keep_both_their_ends(workdir):
    values = [{"model.weights": f"/{'long/' * 30}{name}.h5"} for name in "ab"]
    made = [trial(i, 0.5, 5 + i, values=value) for i, value in enumerate(values)]
    shown = section(workdir, searched(*made))
    assert "/a.h5" in shown and "/b.h5" in shown and "model.weights" in shown


def test_trials_with_equal_scores_are_ranked_as_in_the_search(workdir):
    made = [trial(0, 0.5, 5), trial(1, 0.25, 5), trial(2, 0.75, 5), trial(3, 0.5, 4)]
    for best in ("trial_003", "unknown"):
        ranked = trials.searched(put(workdir, searched(*made, best=best)))
        assert [one.record.trial[-1] for one in ranked.done] == ["3", "2", "0", "1"]


def test_a_front_holds_the_points_that_no_other_beats():
    places = {1: (4, 0.95), 2: (1, 0.9), 3: (2, 0.85), 4: (1, 0.8), 5: (5, 0.95)}
    points = {key: Estimate(x, accuracy, 0.0, 1.0) for key, (x, accuracy) in places.items()}
    assert search_charts.front(points) == [2, 1]


def test_the_card_names_the_search(workdir):
    section(workdir, searched(trial(0, 0.5, 5), trial(1, 1.0, 6)))
    line = "- search: 2 trials in 1 min 0 s, 7.5 s saved by stored activations; tuner random, "
    text = (workdir / "MODEL_CARD.md").read_text()
    assert f"{line}objective accuracy; the trial with the best validation score was kept" in text


def test_a_test_split_that_a_search_did_not_read_is_not_called_missing(workdir):
    rewrite(workdir, pipeline="search", test=None)
    run = put(workdir, searched(trial(0, 0.5, 5), trial(1, 1.0, 6)))
    (line,) = [line for line in rules.what_to_do(run) if "test split" in line.do]
    assert line.do == "Measure the model on the test split."
    assert line.why.startswith("The search used none of the 153 test examples. The model was")
    assert "The search did not read the test split. The validation scores" in card.render(run)
    assert "Trust the test score" not in search.search(run)
