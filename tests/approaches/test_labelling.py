"""A teacher's labels: class frequencies, thresholds, segments."""

import hashlib

import numpy as np
import pytest

from tl_keras.approaches.teaching import labelling
from tl_keras.approaches.teaching.labelling import Label
from tl_keras.config import text as configs
from tl_keras.data.examples import Example
from tl_keras.data.sources.unlabelled import UNKNOWN
from tl_keras.tasks.classification.labels import class_frequencies
from tl_keras.tasks.classification.losses import answers as softmax

CLASSES = ("a", "b", "c")


def examples(count: int, label: int = UNKNOWN) -> list[Example]:
    return [
        Example(f"{i:03d}.png", label, hashlib.sha256(b"%d" % i).hexdigest()) for i in range(count)
    ]


def config(**parallel):
    return configs.from_tree({"data": {"path": "/data", "val": 0.25}, "parallel": parallel})


def shifted(count: int, frequencies: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities of a teacher of balanced classes, for unbalanced examples."""
    generator = np.random.default_rng(0)
    labels = generator.choice(3, count, p=frequencies)
    x = labels[:, None] == np.arange(3)
    scores = 1.5 * x + generator.normal(0, 1, (count, 3))
    # The exact log-likelihood ratios for unit variance and centres 1.5 apart.
    return softmax(1.5 * scores), labels


def test_class_frequencies_are_estimated_without_labels():
    probabilities, _ = shifted(3000, [0.6, 0.3, 0.1])
    truth, prior = np.array([0.6, 0.3, 0.1]), np.full(3, 1 / 3)
    found = class_frequencies(probabilities, prior)
    assert found.sum() == pytest.approx(1)
    # The estimate lies between the prior and the truth, and nearer to the truth.
    assert np.abs(found - truth).sum() < 0.5 * np.abs(prior - truth).sum()
    assert prior[0] < found[0] < truth[0] + 0.03


def test_frequencies_are_nearly_right_for_less_confident_answers():
    probabilities, _ = shifted(3000, [0.6, 0.3, 0.1])
    vague = np.sqrt(probabilities) / np.sqrt(probabilities).sum(1, keepdims=True)
    found = class_frequencies(vague, np.full(3, 1 / 3))
    np.testing.assert_allclose(found, [0.6, 0.3, 0.1], atol=0.12)


def test_frequencies_equal_to_the_prior_stay():
    probabilities, _ = shifted(3000, [1 / 3, 1 / 3, 1 / 3])
    found = class_frequencies(probabilities, np.full(3, 1 / 3))
    np.testing.assert_allclose(found, 1 / 3, atol=0.03)


def test_no_class_is_ruled_out():
    certain = np.tile([1.0, 0.0, 0.0], (50, 1))
    found = class_frequencies(certain, np.full(3, 1 / 3))
    assert (found > 0).all() and found[0] > 0.8


def test_labels_corrected_by_frequencies_are_better():
    probabilities, truth = shifted(3000, [0.7, 0.2, 0.1])
    labels, record = labelling.label(
        examples(3000), probabilities, np.full(3, 1 / 3), config(confident=1.0)
    )
    corrected = np.mean([own.label == k for own, k in zip(labels, truth, strict=True)])
    plain = np.mean(probabilities.argmax(1) == truth)
    assert corrected > plain + 0.02
    assert len(record["thresholds"]) == len(record["frequencies"]) == 3


def test_the_surest_of_each_class_are_kept():
    probabilities, truth = shifted(1000, [0.5, 0.3, 0.2])
    labels, record = labelling.label(
        examples(1000), probabilities, np.full(3, 1 / 3), config(confident=0.6)
    )
    for k in range(3):
        own = [label for label in labels if label.label == k]
        kept = [label for label in own if label.kept]
        assert len(kept) / len(own) == pytest.approx(0.6, abs=0.02)
        assert min(label.confidence for label in kept) >= record["thresholds"][k]
        assert all(o.confidence < record["thresholds"][k] for o in own if not o.kept)
    right = [own.label == k for own, k in zip(labels, truth, strict=True)]
    kept = [own.kept for own in labels]
    assert np.mean(np.array(right)[kept]) > np.mean(right) + 0.05


def test_a_class_without_any_label_is_allowed():
    certain = np.tile([0.9, 0.1, 0.0], (20, 1))
    labels, _ = labelling.label(examples(20), certain, np.full(3, 1 / 3), config())
    assert {own.label for own in labels} == {0}


@pytest.mark.parametrize("count", [1, 3])
def test_segments_divide_all_examples_by_content(count):
    asked, own = config(segments=count), examples(101)
    dealt = labelling.segments(own, asked)
    sizes = np.bincount([segment for segment, _ in dealt], minlength=count)
    assert sizes.sum() == 101 and sizes.max() - sizes.min() <= 1
    for segment in range(count):
        parts = [part for number, part in dealt if number == segment]
        assert parts.count("val") == round(0.25 * len(parts))
    backwards = labelling.segments(own[::-1], asked)
    assert backwards[::-1] == dealt


def test_labels_are_read_as_they_were_written(tmp_path):
    own = examples(3)
    labels = [
        Label(0, 0.5, True, 0, "train"),
        Label(2, 0.25, False, 1, "val"),
        Label(1, 1.0, True, 1, "train"),
    ]
    labelling.write(tmp_path / "labels.csv", own, labels, CLASSES)
    assert labelling.read(tmp_path / "labels.csv", own, CLASSES) == labels
    with pytest.raises(ValueError, match=r"data.unlabelled: the examples have changed since"):
        labelling.read(tmp_path / "labels.csv", own[:2], CLASSES)


def test_own_labels_are_those_of_the_class_folders():
    labels = labelling.own_labels(examples(4, label=2), config())
    assert {(own.label, own.kept, own.confidence) for own in labels} == {(2, True, 1.0)}
    with pytest.raises(ValueError, match=r"parallel.labels: 'own' takes .* named after a class"):
        labelling.own_labels(examples(2), config())
