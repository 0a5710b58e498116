"""Training on several devices of one machine; here, two virtual devices of the CPU."""

from pathlib import Path

import pytest
from runs import other_process

BEGIN = """
import sys
from pathlib import Path
import numpy as np
from tl_keras.run.quiet import start_tensorflow
start_tensorflow()
import keras
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
from tl_keras.training.network import model as models
from tl_keras.training.adapt import devices_of
from tl_keras.config.whole import FitConfig, RunConfig
from tl_keras.run.run import Run
from tl_keras.training.learner import Settings, learner
from shapes import clusters
"""


@pytest.fixture(scope="module")
def run_with_two_devices():
    """A function that runs a program in another process; arguments become `sys.argv[1:]`.

    TensorFlow configures its devices once per process, so the tests share this process.
    """
    act = "sys.argv[1:] = given[1:]; exec(given[0], globals())"
    with other_process(BEGIN, act, cwd=Path(__file__).parents[1]) as send:
        yield lambda program, *arguments: send([program, *map(str, arguments)])


def test_two_devices_train_like_one_and_keep_equal_weights(tmp_path, run_with_two_devices):
    run_with_two_devices(
        """
run = Run(Path(sys.argv[1]), RunConfig(data={"source": "digits"}), "pretrain")
devices = devices_of(run, 2)
assert devices.num_replicas_in_sync == run.record["devices"] == 2
for asked, message in ((1, "fit.batch_size: expected at least one"), (2, "began on 3 devices")):
    try:
        devices_of(run, asked)
        raise AssertionError(message)
    except ValueError as error:
        assert message in str(error)
    run.add(devices=3)
x, labels = clusters(25, 1)  # 13 and 12 examples.
weights = np.linspace(.5, 2, 25, dtype=np.float32)
batch = x, keras.utils.to_categorical(labels, 3).astype(np.float32), weights

def network(norm):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(4, "relu", kernel_regularizer="l2")(inputs)
    if norm:
        hidden = keras.layers.BatchNormalization()(hidden)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dropout(.0)(hidden)))

for norm in (False, True):
    alone, both = network(norm), models.mirrored(network(norm), devices)
    losses = {}
    for name, model, how in (("alone", alone, None), ("both", both, devices)):
        own = learner(model, FitConfig(ema=0.9), model.non_trainable_variables, how)
        own.begin()
        losses[name] = [float(own.step(*map(tf.constant, batch), Settings(.05, ema=.9).tensor()))
                        for _ in range(5)]
    for variable in both.variables:
        copies = [part.numpy() for part in devices.experimental_local_results(variable.value)]
        assert len(copies) == 2
        np.testing.assert_array_equal(*copies, err_msg=variable.path)
    if not norm:  # Batch norm normalises another batch on each device.
        np.testing.assert_allclose(losses["both"], losses["alone"], rtol=1e-4)
        for one, other in zip(alone.get_weights(), both.get_weights()):
            np.testing.assert_allclose(other, one, atol=2e-5)
    assert losses["both"][-1] < losses["both"][0]
""",
        tmp_path,
    )


def test_pretraining_on_two_devices_resumes_within_an_epoch_to_equal_bits(
    quick, tmp_path, run_with_two_devices
):
    run_with_two_devices(
        """
import tl_keras
from tl_keras.training import fit as train
config = {
    "data": {"source": "digits", "examples_per_class": 5},
    "image": {"size": 32, "augment": [{"flip": "both"}]},
    "model": {"backbone": sys.argv[2], "weights": "none"},
    "fit": {"epochs": 2, "batch_size": 9, "checkpoint_minutes": 0.0},
    "cache": {"path": sys.argv[1] + "/cache"},
}
class Stop(Exception):
    pass
save = train.State.save
def save_then_stop(state, *arguments):
    save(state, *arguments)
    if len(state.history) == 1 and len(state.losses) == 2:
        raise Stop
unbroken = tl_keras.pretrain(config, sys.argv[1] + "/unbroken")
train.State.save = save_then_stop
try:
    tl_keras.pretrain(config, sys.argv[1] + "/broken")
    raise AssertionError("the run was not interrupted")
except Stop:
    train.State.save = save
broken = tl_keras.pretrain(config, sys.argv[1] + "/broken")
tables = [(run.workdir / "predictions.csv").read_bytes() for run in (unbroken, broken)]
assert tables[0] == tables[1]
assert unbroken.result["devices"] == 2
""",
        *(tmp_path, quick["model"]["backbone"]),
    )


def test_two_devices_learn_without_labels(tmp_path, run_with_two_devices):
    run_with_two_devices(
        """
import tl_keras
sizes = {"layers": 1, "width": 8, "heads": 2, "inner": 8, "positions": 16}
run = tl_keras.pretrain(
    {
        "data": {"source": "intents"},
        "model": {"backbone": "BERT", "options": sizes},
        "pretrain": {"objective": "masked_language", "vocabulary": 100},
        "fit": {"epochs": 2, "learning_rate": 0.02, "batch_size": 64},
        "cache": {"path": sys.argv[1] + "/cache"},
    },
    sys.argv[1] + "/run",
)
assert run.result.devices == 2
assert run.result.pretraining.val["perplexity"] < 70
""",
        tmp_path,
    )
