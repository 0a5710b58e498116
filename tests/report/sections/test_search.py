"""Claims on the report of a search: the sentence on depth, the advice, charts, any odd record."""

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


def put(workdir, found: SearchRecord, space: object = None):
    """The run, with a search."""
    rewrite(workdir, search=found)
    if space is not None:
        (workdir / "config.yaml").write_text(json.dumps({"search": {"space": space}}))
    return read(workdir)


def sentence(workdir, *made: TrialRecord, **others) -> str:
    return on_search.depth(trials.searched(put(workdir, searched(*made, **others))))


def asked(run) -> str:
    return "\n".join(f"{do} {why}" for do, why in on_search.asked(run))


def test_the_best_depth_is_set_against_the_head_alone(workdir):
    said = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.75, 7), trial(2, 1.0, 25))
    assert said == (
        "Freeze 0.5 of the blocks (up to block_6): on 100 validation examples it is 20.0 points "
        "above the head alone (95% interval, paired, 11.4 to 27.8); 0.75 cannot be told apart "
        "from it, and 0.75 is the cheapest to train."
    )


def test_without_the_head_alone_the_nearest_depth_is_named(workdir):
    said = sentence(workdir, trial(0, 0.0, 2), trial(1, 0.5, 20), trial(2, 0.75, 30))
    assert said.startswith("Freeze nothing: on 100 validation examples it is 18.0 points above")
    assert "above a share of 0.5 (95% interval, paired, " in said and "told apart" not in said


def test_depths_that_cannot_be_told_apart_do_not_matter(workdir):
    said = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.75, 6), trial(2, 1.0, 7))
    assert said == (
        "The depth does not matter here as far as 100 validation examples can tell: 0.5, 0.75 and "
        "1 cannot be told apart; 1 is the cheapest to train."
    )


def test_the_head_alone_may_be_known_from_a_trial_that_kept_it(workdir):
    kept = trial(2, 0.75, 30, kept="head")
    said = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.75, 6), kept)
    assert (
        "0.5 and 0.75 cannot be told apart; 0.75 is the cheapest to train, and the best is" in said
    )
    assert "25.0 points above the head alone" in said


def test_where_every_trial_kept_the_head_it_is_what_to_train(workdir):
    made = [trial(i, share, 9, kept="head") for i, share in enumerate((0.75, 0.25, 0.5))]
    assert sentence(workdir, *made) == (
        "Train the head alone: with 0.25, 0.5 and 0.75 of the blocks frozen, validation never "
        "chose the fine-tuned weights over it."
    )
    assert not asked(read(workdir))  # Equal answers are no choice among noise.


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([trial(0, 0.5, 5)], "One trial came to a model: there is nothing to compare it with."),
        ([lost(0, "diverged")], "No trial came to a model: there is nothing to compare."),
        ([trial(0, 0.5, 5), trial(1, 0.5, 6)], "All trials freeze 0.5 of the blocks (up to blo"),
        ([trial(0, 1.0, 5), trial(1, 1.0, 6)], "All trials train the head alone: nothing is kn"),
        ([trial(0, 0.5, 5, depth=None), trial(1, 0.5, 6)], ""),
        (
            [trial(0, 0.5, 5, wrong=None), trial(1, 1, 6)],
            "Freeze 0.5 of the blocks (up to block_6)",
        ),
        ([trial(0, 0.5, 5, n=None), trial(1, 0.25, 6)], "Freeze 0.5 of the blocks (up to blo"),
        ([trial(0, 0.5, 5, wrong=[1, N]), trial(1, 1, 6)], "Freeze 0.5 of the blocks (up to blo"),
    ],
)
def test_little_is_said_of_what_is_little_known(workdir, made, said):
    found = sentence(workdir, *made)
    assert found.startswith(said) and bool(found) == bool(said)
    assert "interval" not in found


def test_who_asked_for_another_metric_is_told_of_accuracy(workdir):
    made = [trial(0, 0.5, 30, score=-0.1), trial(1, 0.75, 5, score=-0.3)]
    said = sentence(workdir, *made, objective="log_loss subject to bytes <= 3e6")
    assert said == (
        "Freeze 0.5 of the blocks (up to block_6); 0.75 had more right, but a worse log loss."
    )


def test_another_architecture_is_no_other_depth(workdir):
    said = sentence(workdir, trial(0, 0.5, 5), trial(1, 0.25, 40, label="other"), trial(2, 0.5, 9))
    assert said.startswith("All trials freeze 0.5")


def test_a_best_depth_at_the_edge_asks_for_shallower_ones(workdir):
    found = searched(trial(0, 0.5, 5), trial(1, 1.0, 30))
    line = asked(put(workdir, found))
    assert "let fit.freeze in search.space go under 0.5. The best depth is the shallowest" in line
    assert "25.0 points above the head alone" in line
    assert "go under" not in asked(put(workdir, searched(*found.trials, trial(2, 0.25, 20))))
    assert "go under" not in asked(put(workdir, searched(*found.trials, lost(2, "diverged"))))
    assert "go under" not in asked(put(workdir, searched(trial(0, 0.0, 5), trial(1, 1.0, 30))))
    assert "go under" not in asked(put(workdir, searched(trial(0, 0.5, 0), trial(1, 1.0, 30))))


def test_a_depth_that_costs_less_and_no_accuracy_is_recommended(workdir):
    many = 10_000
    made = [trial(0, 0.5, 5, n=many), trial(1, 0.75, 6, n=many), trial(2, 1.0, 7, n=many)]
    line = asked(put(workdir, searched(*made)))
    assert "freeze more to train faster: --set fit.freeze=1. The depth does not matter" in line
    few = [trial(0, 0.5, 5), trial(1, 0.75, 9)]  # A loss of 5 points is not excluded.
    assert "freeze more" not in asked(put(workdir, searched(*few)))


@pytest.mark.parametrize(
    ("rate", "space", "says"),
    [
        (1.5e-5, RATES, "lower its min. The best rate, 1.5e-05, lies at an end of 1e-05 to 0.01"),
        (8e-3, RATES, "raise its max"),
        (3e-4, RATES, ""),
        (8e-3, [1e-5, "auto", 8e-3], "raise its max"),
        (8e-3, [8e-3], ""),
        (8e-3, {"min": SCRIPT, "max": None}, ""),
        (8e-3, SCRIPT, ""),
    ],
)
def test_a_best_rate_at_an_end_asks_for_a_wider_range(workdir, rate, space, says):
    made = searched(trial(0, 0.5, 5, rate), trial(1, 0.5, 30))
    line = asked(put(workdir, made, {"fit.learning_rate": space}))
    assert says in line and bool(says) == ("Widen fit.learning_rate" in line)
    assert "may be chance" not in line


def test_a_rate_at_an_end_may_be_chance_or_the_end_of_what_holds(workdir):
    space, made = {"fit.learning_rate": RATES}, [trial(0, 0.5, 5, 8e-3), trial(1, 0.5, 6)]
    assert "this may be chance" in asked(put(workdir, searched(*made), space))
    line = asked(put(workdir, searched(*made, lost(2, "diverged", 9e-3)), space))
    assert "Widen" not in line
    kept = [made[0].model_copy(update={"kept": "head"}), made[1]]  # Of which the rate is no part.
    assert "Widen" not in asked(put(workdir, searched(*kept), space))


def test_trials_that_diverged_ask_for_lower_rates(workdir):
    made = [trial(0, 0.5, 5), lost(1, "diverged", 5e-3), lost(2, "diverged", 8e-3)]
    assert asked(put(workdir, searched(*made))) == (
        "Lower the upper end of fit.learning_rate in search.space. 2 of 3 trials diverged, the "
        "lowest at a rate of 0.005; the highest rate that came to something is 0.0003."
    )
    made[1:] = [own.model_copy(update={"values": {}}) for own in made[1:]]
    assert "Lower fit.learning_rate. 2 of 3 trials" in asked(put(workdir, searched(*made)))


def test_trials_that_overlap_ask_for_more_examples(workdir):
    made = [trial(0, 0.5, 5), trial(1, 0.5, 6), trial(2, 0.5, 7), trial(3, 0.5, 40)]
    line = asked(put(workdir, searched(*made)))
    assert "Set more validation examples aside" in line
    assert "2 of 4 trials cannot be told from the best on 100 validation examples" in line
    assert not asked(put(workdir, searched(made[0], made[3])))
    made = [trial(i, 0.5, 90 + i, n=10_000, accuracy=0.98) for i in range(2)]
    assert not asked(put(workdir, searched(*made)))  # Less than a point is at stake.
    assert not asked(put(workdir, searched(trial(0, 0.5, 0), trial(1, 0.5, 1))))


def test_advice_on_depth_is_that_of_the_trials(workdir):
    candidates = {"head": candidate(), "finetuned": candidate(won=30, lost=1)}
    rewrite(workdir, model=ModelRecord(cut="add", freeze=0.5, candidates=candidates))

    def lines(*shares: float) -> str:
        made = searched(*(trial(i, share, 5 + 30 * i) for i, share in enumerate(shares)))
        return "\n".join(line.do for line in rules.what_to_do(put(workdir, made)))

    assert "Unfreeze deeper" in lines(0.5, 0.5)
    assert "Unfreeze deeper" not in lines(0.5, 0.25) and "Search on" in lines(0.5, 0.75)


def section(workdir, found: SearchRecord) -> str:
    """The section on the search, as HTML."""
    rewrite(workdir, search=found)
    return written(workdir)


def written(workdir) -> str:
    """The same of a run that is there; empty where there is none."""
    text = page.write(workdir).read_text(encoding="utf-8")
    Outline(text)
    start = text.find('<section id="search">')
    return text[start : text.index("</section>", start)] if start >= 0 else ""


def test_the_section_stands_behind_the_scores_and_holds_everything(workdir):
    body = section(workdir, several_architectures())
    text = (workdir / "report.html").read_text()
    assert re.findall("<h2>([^<]*)</h2>", text)[2:4] == ["Scores", "Search"]
    outline = Outline(body + "</section>")
    assert outline.tags.count("svg") == 6
    for words in [
        *("11 trials in 1 min 0 s, 7.5 s saved by kept activations", "Frozen up to", "trial_010"),
        *("The best of 9 was chosen on the very examples", "95.0%", "of 100", "0.250", "4.5 s"),
        *("fit.freeze", "0.0001", "block_3", "diverged", "over the limit", "None better by"),
        *("4.0 MB", "9000.0 MB", "99", "size and latency", "level", "Go by the test score"),
    ]:
        assert words in outline.words, words
    assert outline.words.count("size and latency") == 2  # Of three architectures one is beaten.


def test_hostile_text_stays_text_and_out_of_charts(workdir):
    body = section(workdir, several_architectures())
    outline = Outline(body + "</section>")
    assert "script" not in outline.tags and SCRIPT not in body
    for svg in re.findall("<svg.*?</svg>", body, flags=re.DOTALL):
        assert "alert" not in svg and "break_it" not in svg
    assert any(f"tuner {SCRIPT}" in piece for piece in outline.text)
    assert any(f"loss is NaN at {SCRIPT}" in piece for piece in outline.text)
    assert SCRIPT not in (workdir / "MODEL_CARD.md").read_text()


def test_charts_have_ids_of_their_own_and_the_page_s_colours(workdir):
    section(workdir, several_architectures())
    text = (workdir / "report.html").read_text()
    ids = [value for _, name, value in Outline(text).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert "var(--series)" in text and "#aa00" not in text
    assert page.write(workdir).read_text() == text


def test_charts_are_told_in_words(workdir):
    body = section(workdir, several_architectures())
    labels = [v for _, name, v in Outline(body + "</section>").attributes if name == "aria-label"]
    for words in [
        "Validation accuracy by share of blocks frozen: 0.5 frozen, 95.0% (88.8 to 97.8); 0.75 fr",
        "the head alone 80.0%.",
        "Validation accuracy by learning rate: 2 trials; the highest, 95.0%, at 0.0001.",
        "Accuracy, %, best so far by time: from 80 after 5 seconds to 90 after 10, of 60",
        "Trials over 4 fields and their accuracy: 11 trials, 2 of them without accuracy",
        "Validation accuracy by size, MB: 1 at 4, 95.0% (88.8 to 97.8); 2 at 1, 91.0%",
        "Validation accuracy by latency, ms: 1 at 4, 95.0%",
    ]:
        assert any(words in label for label in labels), words


def test_one_trial_alone_needs_no_chart(workdir):
    body = section(workdir, searched(trial(0, 0.5, 5)))
    assert "One trial came to a model" in body and "trial_000" in body
    assert "<svg" not in body and "very examples" not in body


def test_a_search_of_nothing_but_lost_trials_shows_their_architectures(workdir):
    made = [lost(i, "over the limit", label=f"size {i}", bytes=1e9 * (i + 1)) for i in range(2)]
    body = section(workdir, searched(*made))
    assert "No trial came to a model" in body and "2000.0 MB" in body


def test_of_many_trials_the_best_are_shown(workdir):
    made = [trial(i, (i % 4) / 4, i % 60, 1e-4 * (i + 1)) for i in range(70)]
    body = section(workdir, searched(*made, lost(70, "diverged")))
    assert "71 trials, the best first; the first 50, and 21 more in result.json." in body
    assert body.count("<tr>") == 51


def test_depths_beyond_the_signs_are_grouped(workdir):
    made = [trial(i, i / 16, 5 + i, 1e-4 * (i + 1)) for i in range(16)]
    body = section(workdir, searched(*made))
    assert ">0.25 to 0.5<" in body and ">0.75 to 1<" in body


ODD = (None, [], {}, "text", SCRIPT, -1, 0, 1e300, float("nan"), True, [None], {"share": {}})


KEYS = [*TrialRecord.model_fields, "accuracy", "log_loss", "wrong"]


def test_nothing_of_a_trial_is_trusted(workdir):
    best = to_json(trial(0, 0.5, 5, 1e-4, bytes=1e6, latency_ms=1.0))
    odd = [
        to_json(trial(i, i / 9, 9, 1e-4 * i)) | {key: value}
        for key in KEYS
        for i, value in enumerate(ODD, start=1)
    ]
    deeper = [to_json(trial(1, 0.5, 9)) | {"depth": {"share": value}} for value in ODD]
    told = to_json(searched(trial(0, 0.5, 5)))
    told["trials"] = [best, *odd, *deeper, to_json(lost(3, "diverged")), None, [], SCRIPT]
    change(workdir, "result.json", search=told)
    body = written(workdir)
    assert SCRIPT not in body and body.count("<svg") >= 4
    run = read(workdir)
    assert asked(run)
    named = {line.partition(":")[0].split(".")[3] for line in run.unread if line.count(".") > 2}
    assert named >= {"seconds", "status", "score", "label", "depth", "head", "left_out", "wrong"}
    assert "Look at result.json: " in (workdir / "report.html").read_text()


@pytest.mark.parametrize("key", KEYS)
def test_nothing_of_the_best_trial_is_needed(workdir, key):
    made = [trial(i, i / 2, 5 + i, 1e-4 * (i + 1), bytes=i * 1e6) for i in range(3)]
    told = to_json(searched(*made))
    told["trials"][0].pop(key, None)
    change(workdir, "result.json", search=told)
    run = read(workdir)
    Outline(search.search(run)), asked(run), card.render(run)
    missing = [line.partition(":")[0] for line in run.unread]
    assert missing == ([f"search.trials.0.{key}"] if key in NEEDED else [])


NEEDED = [name for name, field in TrialRecord.model_fields.items() if field.is_required()]


@pytest.mark.parametrize("key", SearchRecord.model_fields)
def test_nothing_of_a_search_is_needed_or_trusted(workdir, key):
    told = to_json(searched(trial(0, 0.5, 5), trial(1, 0.5, 6)))
    for found in (*({**told, key: value} for value in ODD), {k: told[k] for k in told if k != key}):
        change(workdir, "result.json", search=found)
        run = read(workdir)
        Outline(search.search(run)), asked(run), card.render(run)


@pytest.mark.parametrize("found", ODD)
def test_what_is_no_search_has_no_section(workdir, found):
    change(workdir, "result.json", search=found)
    assert written(workdir) == ""
    assert "- search: " not in (workdir / "MODEL_CARD.md").read_text()


def test_of_hyperband_trials_of_equal_epochs_are_compared(workdir):
    made = [
        trial(i, share, misses, values={"fit.freeze": share, "fit.epochs": epochs})
        for i, (share, misses, epochs) in enumerate([(0.5, 5, 9), (0.75, 6, 9), (0.25, 60, 1)])
    ]
    said = sentence(workdir, *made, tuner="hyperband")
    assert "0.5 and 0.75 cannot be told apart" in said and "0.25" not in said
    assert "above a share of 0.25" in sentence(workdir, *made)
    head = trial(3, 1.0, 30, values={"fit.freeze": 1.0, "fit.epochs": 1})
    assert "25.0 points above the head alone" in sentence(workdir, *made, head, tuner="hyperband")
    # Where it is best, it is set against the longest.
    best = trial(3, 1.0, 0, values=head.values)
    said = sentence(workdir, best, *made, tuner="hyperband")
    assert said.startswith("Train the head alone") and "0.25" not in said


def test_why_there_is_one_trial_alone_is_said(workdir):
    said = sentence(workdir, trial(0, 0.5, 1, kept="head", left_out=True))
    assert said.startswith("Train the head alone: it is so good on the validation examples that")


def test_long_values_that_differ_at_their_ends_are_told_apart(workdir):
    values = [{"model.weights": f"/{'long/' * 30}{name}.h5"} for name in "ab"]
    made = [trial(i, 0.5, 5 + i, values=value) for i, value in enumerate(values)]
    shown = section(workdir, searched(*made))
    assert "/a.h5" in shown and "/b.h5" in shown and "model.weights" in shown


def test_equals_are_ranked_as_the_search_ranks_them(workdir):
    made = [trial(0, 0.5, 5), trial(1, 0.25, 5), trial(2, 0.75, 5), trial(3, 0.5, 4)]
    found = trials.searched(put(workdir, searched(*made, best="trial_003")))
    assert [own.record.trial[-1] for own in found.done] == ["3", "2", "0", "1"]
    found = trials.searched(put(workdir, searched(*made, best="unknown")))
    assert [own.record.trial[-1] for own in found.done] == ["3", "2", "0", "1"]


def test_a_front_holds_what_none_beats():
    places = {1: (4, 0.95), 2: (1, 0.9), 3: (2, 0.85), 4: (1, 0.8), 5: (5, 0.95)}
    points = {key: Estimate(x, accuracy, 0.0, 1.0) for key, (x, accuracy) in places.items()}
    assert search_charts.front(points) == [2, 1]


def test_the_card_says_that_validation_chose(workdir):
    section(workdir, searched(trial(0, 0.5, 5), trial(1, 1.0, 6)))
    line = "- search: 2 trials in 1 min 0 s, 7.5 s saved by kept activations; tuner random, "
    assert f"{line}objective accuracy; validation chose" in (workdir / "MODEL_CARD.md").read_text()


def test_a_test_split_that_a_search_left_alone_is_not_said_to_be_missing(workdir):
    rewrite(workdir, pipeline="search", test=None)
    run = put(workdir, searched(trial(0, 0.5, 5), trial(1, 1.0, 6)))
    (line,) = [line for line in rules.what_to_do(run) if "test split" in line.do]
    assert line.do == "Measure it on the test split."
    assert line.why.startswith("None of its 153 examples was read: validation chose this model")
    assert "The test split was not read: validation" in card.render(run)
    assert "Go by the test score" not in search.search(run)
