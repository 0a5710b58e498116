"""The wrapper of KerasTuner: proposals of its oracles, and proposals after a restore."""

import json

import pytest

from tl_keras.config import text as configs
from tl_keras.config.search import Range
from tl_keras.search import tuner

ENTRIES = {
    "fit.freeze": (0.0, "block_3", 1.0),
    "fit.learning_rate": Range(min=1e-5, max=1e-2, scale="log"),
    "fit.batch_size": Range(min=4, max=9),
    "image.augment": ([], [{"flip": "horizontal"}]),
}
EPOCHS = 9


def oracle(name: str, folder, seed: int = 0):
    tree = {"data": {"source": "digits"}, "search": {"tuner": name}, "seed": seed}
    return tuner.oracle(configs.from_tree(tree), EPOCHS, ENTRIES, str(folder))


def score(values: dict) -> float:
    return -abs(values["fit.learning_rate"] - 1e-3) - 0.01 * (values["fit.freeze"] == 1.0)


def ask(made) -> dict:
    """Returns the next trial's values, and reports its score to the oracle."""
    proposal = tuner.propose(made)
    values = tuner.values_of(proposal, ENTRIES)
    tuner.tell(made, proposal, score(values))
    return values


NAMES = ("random", "bayesian", "hyperband")


@pytest.mark.parametrize("name", NAMES)
def test_proposals_are_in_the_space_and_differ(name, tmp_path):
    made = oracle(name, tmp_path)
    proposals = [ask(made) for _ in range(15)]
    for values in proposals:
        assert values["fit.freeze"] in ENTRIES["fit.freeze"]
        assert 1e-5 <= values["fit.learning_rate"] <= 1e-2
        assert type(values["fit.batch_size"]) is int and 4 <= values["fit.batch_size"] <= 9
        assert values["image.augment"] in ENTRIES["image.augment"]
        assert ("fit.epochs" in values) == (name == "hyperband")
    assert len({json.dumps(values) for values in proposals}) == 15
    if name == "hyperband":
        assert {values["fit.epochs"] for values in proposals} == {1, 3, 9}


@pytest.mark.parametrize("name", NAMES)
def test_restored_oracle_proposes_the_same_trials(name, tmp_path):
    first = oracle(name, tmp_path / "first")
    for _ in range(13):
        ask(first)
    state = json.loads(json.dumps(tuner.state(first)))
    again = oracle(name, tmp_path / "again")
    tuner.restore(again, state)
    assert [ask(again) for _ in range(2)] == [ask(first) for _ in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_trial_is_proposed_again(name, tmp_path):
    first = oracle(name, tmp_path / "first")
    ask(first)
    begun = tuner.values_of(tuner.propose(first), ENTRIES)
    state = json.loads(json.dumps(tuner.state(first)))
    again = oracle(name, tmp_path / "again")
    tuner.restore(again, state)
    assert tuner.values_of(tuner.propose(again), ENTRIES) == begun


def test_trials_until_whole_counts_trials_of_hyperband(tmp_path):
    needed = tuner.trials_until_whole(oracle("hyperband", tmp_path / "first"), EPOCHS)
    made = oracle("hyperband", tmp_path / "again")
    epochs = [ask(made)["fit.epochs"] for _ in range(needed)]
    assert epochs.index(EPOCHS) == needed - 1


def test_bayesian_search_approaches_the_best(tmp_path):
    made = oracle("bayesian", tmp_path)
    proposals = [ask(made) for _ in range(18)]  # The first twelve are random.
    first, last = (
        [abs(values["fit.learning_rate"] - 1e-3) for values in part]
        for part in (proposals[:12], proposals[12:])
    )
    assert sum(last) / 6 < sum(first) / 12


def test_small_space_ends(tmp_path):
    config = configs.from_tree({"data": {"source": "digits"}, "search": {"tuner": "random"}})
    entries = {"fit.freeze": (0.5, 1.0)}
    made = tuner.oracle(config, EPOCHS, entries, str(tmp_path))
    for _ in range(2):
        tuner.tell(made, tuner.propose(made), 0.5)
    assert tuner.propose(made) is None


def test_another_seed_proposes_other_values(tmp_path):
    proposals = [ask(oracle("random", tmp_path / str(seed), seed)) for seed in (0, 1)]
    assert proposals[0] != proposals[1]
