"""The plan, the training loop with its checkpoints, and the choice among candidates."""

import contextlib
import errno
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from shapes import clusters

from tl_keras.backbones import encoder
from tl_keras.config.fit import FitConfig
from tl_keras.tasks.classification import choice
from tl_keras.tasks.classification.losses import answers as softmax
from tl_keras.training import fit as train
from tl_keras.training.fit import Fit, State
from tl_keras.training.learner import Settings, learner
from tl_keras.training.plan import STRONG, Plan, num_views, rate_of, resolved


@pytest.mark.parametrize("count", [10, 300, 3000, 100_000])
@pytest.mark.parametrize("pretrained", [True, False])
def test_plan_depends_on_the_number_of_examples_only(count, pretrained):
    steps = max(1, count // 32)
    plan = resolved(FitConfig(), count, steps, pretrained)
    assert 5 <= plan.epochs <= (30 if pretrained else 300)
    assert plan.patience >= 10
    assert plan.patience * steps >= 295  # Validation may stay at chance level for that long.
    assert 0 <= plan.freeze <= 0.5
    assert pretrained or plan.freeze == 0
    assert plan == resolved(FitConfig(), count, steps, pretrained)


def test_plan_keeps_values_that_the_config_sets():
    config = FitConfig(freeze="block_3", epochs=7, learning_rate=0.5, keep="best", patience=2)
    assert resolved(config, 100, 3, True) == Plan("block_3", 7, 0.5, 3, "best", 2)


def test_a_pretrained_backbone_decides_how_regularised_the_first_head_is():
    of_encoder = encoder.auto_values(100)
    plan = resolved(FitConfig(), 100, 7, True, of_encoder)
    assert (plan.start, plan.strength) == ("regularised", 10.0)
    assert resolved(FitConfig(), 100, 7, False, of_encoder).strength == STRONG
    assert resolved(FitConfig(start="regularised"), 100, 7, True).strength == STRONG


@pytest.mark.parametrize("pretrained, keep", [(True, "average"), (False, "best")])
def test_pretrained_fits_keep_the_average_and_others_the_best_epoch(pretrained, keep):
    assert resolved(FitConfig(), 100, 3, pretrained).keep == keep


@pytest.mark.parametrize(
    "num_val, head, tuned, kept",
    [
        (20, 0.34, 0.20, "head"),  # 2.8 nats
        (30, 0.74, 0.48, "finetuned"),  # 7.8 nats
        (1000, 0.34, 0.335, "finetuned"),  # 5 nats
        (1000, 0.30, 0.40, "head"),
    ],
)
def test_head_is_kept_unless_another_candidate_is_clearly_better(num_val, head, tuned, kept):
    means = {"head": head, "mix": head + 0.01, "finetuned": tuned}
    assert (
        choice.choose({name: np.full((3, num_val), mean) for name, mean in means.items()}) == kept
    )


def test_views_decide_unless_unaugmented_images_get_worse():
    head, tuned = np.full((4, 20), 0.5), np.full((4, 20), 0.2)
    assert choice.choose({"head": head, "finetuned": tuned}) == "finetuned"
    tuned[0] = 0.49  # Hardly better on unaugmented images, but 4.7 nats over all views.
    assert choice.choose({"head": head, "finetuned": tuned}) == "finetuned"
    tuned[0] = 0.51
    assert choice.choose({"head": head, "finetuned": tuned}) == "head"


def test_candidate_with_the_largest_gain_is_kept():
    losses = {"head": 0.5, "mix": 0.1, "finetuned": 0.2}
    assert choice.choose({name: np.full((1, 50), x) for name, x in losses.items()}) == "mix"


def test_choice_by_accuracy_prefers_the_simplest_of_equal_candidates():
    assert choice.most_accurate({"head": 0.8, "mix": 0.9, "finetuned": 0.9}) == "mix"


@pytest.mark.parametrize(("loss", "loses"), [(0.17, True), (0.16, False)])
def test_first_candidate_with_almost_no_loss_cannot_lose(loss, loses):
    assert choice.can_lose(np.full((9, 20), loss)) == loses


@pytest.mark.parametrize("num_val, views", [(1, 8), (20, 8), (100, 4), (400, 1), (401, 0)])
def test_fewer_validation_images_get_more_views(num_val, views):
    assert num_views(num_val) == views


def test_learning_rate_warms_up_and_decays():
    plan = Plan(0.0, 10, 0.1, 10, "best", 10)
    rates = [rate_of(plan, 0.1, step) for step in range(101)]
    assert np.argmax(rates) == 10
    assert max(rates) == pytest.approx(0.1)
    assert rates[0] < 0.02
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def network(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,))
    x = keras.layers.Dense(8, activation="relu")(inputs)
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def fit(
    model,
    checkpoint,
    publish=lambda _: None,
    epochs: int = 4,
    keep="best",
    when_validated=lambda: None,
    **choices,
):
    """Trains a tiny network on clusters of points, and validates on other points."""
    (x, y), (vx, vy) = clusters(64, 1), clusters(64, 2)
    targets = keras.utils.to_categorical(y, 3).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((x, targets, np.ones(64, np.float32))).batch(16)

    def validate():
        when_validated()
        probabilities = softmax(model.predict_on_batch(vx))
        loss = -np.log(probabilities[np.arange(64), vy]).mean()
        return {"val_loss": float(loss), "val_accuracy": 0.0}

    config = FitConfig(**choices)
    plan = Plan(
        0.0, epochs, choices.get("learning_rate", 0.05), 4, keep, choices.get("patience", 10)
    )

    def batches(epoch, first):
        return data.skip(first)

    run = Fit("finetune", learner(model, config), batches, validate, plan, config, seed=3)
    return train.fit(run, checkpoint, publish), validate


def test_fit_keeps_the_best_epoch(tmp_path):
    model = network()
    history, validate = fit(model, tmp_path / "state.npy", epochs=6)
    best = min(record["val_loss"] for record in history)
    assert validate()["val_loss"] == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("epochs, averaged", [(1, 1), (2, 1), (5, 3), (6, 3)])
def test_fit_keeps_the_average_of_the_last_half(tmp_path, epochs, averaged):
    model, weights = network(), []

    def remember():
        weights.append([v.numpy() for v in model.trainable_variables])

    how = {"keep": "average", "patience": 1, "when_validated": remember}
    fit(model, tmp_path / "state.npy", epochs=epochs, **how)
    assert len(weights) == epochs  # Patience does not stop it.
    for i, variable in enumerate(model.trainable_variables):
        expected = np.mean([values[i] for values in weights[-averaged:]], axis=0)
        np.testing.assert_allclose(variable.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "choices", [{}, {"ema": 0.9}, {"optimizer": "sgd"}, {"keep": "average", "epochs": 5}]
)
def test_interrupted_fit_resumes_to_equal_bits(tmp_path, choices):
    """A checkpoint restores dropout, optimiser, moving average and early stopping."""
    unbroken = network()
    history, _ = fit(unbroken, tmp_path / "unbroken.npy", **choices)

    class Stop(Exception):
        pass

    def stop_after_two(records):
        if len(records) == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(network(), tmp_path / "broken.npy", stop_after_two, **choices)
    broken = network(seed=99)
    again, _ = fit(broken, tmp_path / "broken.npy", **choices)
    assert [r["loss"] for r in again] == [r["loss"] for r in history]
    for a, b in zip(unbroken.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("written", [1, 2, 4, 6, 11])
@pytest.mark.parametrize("choices", [{"ema": 0.9}, {"keep": "average"}])
def test_fit_interrupted_within_an_epoch_resumes_to_equal_bits(
    tmp_path, monkeypatch, choices, written
):
    """A checkpoint is written before each of the four steps of an epoch, and at its end."""
    choices = {"checkpoint_minutes": 0.0, "epochs": 3, **choices}
    unbroken = network()
    history, _ = fit(unbroken, tmp_path / "unbroken.npy", **choices)
    save, saved = State.save, []

    class Stop(Exception):
        pass

    def save_then_stop(state, *arguments):
        save(state, *arguments)
        saved.append(len(state.losses))
        if len(saved) == written:
            raise Stop

    with monkeypatch.context() as patched, pytest.raises(Stop):
        patched.setattr(State, "save", save_then_stop)
        fit(network(), tmp_path / "broken.npy", **choices)
    broken = network(seed=99)
    again, _ = fit(broken, tmp_path / "broken.npy", **choices)
    assert [r["loss"] for r in again] == [r["loss"] for r in history]
    assert [r["val_loss"] for r in again] == [r["val_loss"] for r in history]
    for a, b in zip(unbroken.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_short_epochs_write_one_checkpoint_at_their_end(tmp_path, monkeypatch):
    save, saved = State.save, []
    monkeypatch.setattr(State, "save", lambda s, *a: (saved.append(s.losses), save(s, *a)))
    fit(network(), tmp_path / "state.npy", epochs=3)
    assert saved == [(), (), ()]


def test_moving_average_is_validated_but_training_continues_from_the_weights(tmp_path):
    """With a momentum near 1 the average hardly moves; trained from it, the loss would not fall."""
    fast, _ = fit(network(), tmp_path / "fast.npy", epochs=8)
    slow, _ = fit(network(), tmp_path / "slow.npy", epochs=8, ema=0.999)
    np.testing.assert_allclose([r["loss"] for r in slow], [r["loss"] for r in fast], rtol=1e-5)
    assert slow[-1]["val_loss"] > fast[-1]["val_loss"]


def test_stops_when_validation_no_longer_improves(tmp_path):
    history, _ = fit(network(), tmp_path / "state.npy", epochs=60, patience=2, learning_rate=0.3)
    losses = [record["val_loss"] for record in history]
    assert len(losses) < 60
    assert np.argmin(losses) == len(losses) - 3


def test_divergence_message_names_the_learning_rate(tmp_path):
    with pytest.raises(FloatingPointError, match=r"fit\.learning_rate: the loss became nan"):
        fit(network(), tmp_path / "s.npy", learning_rate=1e38, optimizer="sgd", clip_norm=None)


def test_checkpoint_with_pickles_is_refused(tmp_path):
    np.save(tmp_path / "state.npy", np.array([object()], object))
    with pytest.raises(ValueError, match="pickle"):
        State.load(tmp_path / "state.npy", learner(network(), FitConfig()))


def test_checkpoint_of_another_version_is_refused(tmp_path):
    np.save(tmp_path / "state.npy", np.array("[]"))
    with pytest.raises(ValueError, match="was written by another version"):
        State.load(tmp_path / "state.npy", learner(network(), FitConfig()))


def test_momentum_of_batch_norm_suits_few_steps():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.BatchNormalization(momentum=0.999)(inputs))
    train.speed_up_batch_norm(model, 100)
    assert model.layers[-1].momentum <= 0.8
    train.speed_up_batch_norm(model, 10**6)
    assert model.layers[-1].momentum <= 0.8, "it never slows down"


@pytest.mark.parametrize("choices", [{"keep": "average"}, {"keep": "best"}, {"ema": 0.9}])
def test_learner_has_the_kept_weights_after_fit(tmp_path, choices):
    """`Learner.values` must not return the weights of the last step."""
    model, made = network(), {}

    make = learner

    def remember(*arguments):
        made["learner"] = make(*arguments)
        return made["learner"]

    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(globals(), "learner", remember)
        fit(model, tmp_path / "state.npy", epochs=6, **choices)
    values = np.concatenate([v.numpy().ravel() for v in model.trainable_variables])
    np.testing.assert_array_equal(made["learner"].values()[0], values)


def test_step_is_traced_at_most_twice():
    """Other batch sizes, rates, decays, smoothings and norms cause no further trace."""
    made = learner(network(), FitConfig())
    for i, size in enumerate((16, 12, 7, 9), start=1):
        x, y = clusters(size, 1)
        batch = x, keras.utils.to_categorical(y, 3).astype(np.float32), np.ones(size, np.float32)
        made.step(*batch, Settings(0.1 / i, 0.01 * i, 0.05 * i, i).tensor())
    assert made.step.experimental_get_tracing_count() <= 2


def test_gradient_is_clipped():
    x, y = clusters(16, 1)
    batch = x, keras.utils.to_categorical(y, 3).astype(np.float32), np.ones(16, np.float32)
    moved = {}
    for norm in (np.inf, 1e-3):
        made = learner(network(), FitConfig(optimizer="sgd"))
        before = made.parameters.numpy()
        made.step(*batch, Settings(1.0, clip_norm=norm).tensor())
        moved[norm] = np.linalg.norm(made.parameters.numpy() - before)
    # The first step of SGD with Nesterov momentum 0.9 is 1.9 times the gradient.
    assert moved[1e-3] == pytest.approx(1.9e-3, rel=1e-3) and moved[np.inf] > 1e-2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this platform has no /dev/full")
def test_full_disk_raises_no_space_left():
    stream = open("/dev/full", "wb")
    with pytest.raises(OSError) as caught:
        train._append(stream, np.zeros(1_000_000), Path("state.npy"))
    assert caught.value.errno == errno.ENOSPC
    with contextlib.suppress(OSError):
        stream.close()
