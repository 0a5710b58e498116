"""The decision whether to store activations."""

from tl_keras.training import activations
from tl_keras.training.network.prefixes import Cut


def cut(seconds: float, shape=(10, 10, 64)) -> Cut:
    return Cut("cut", shape, "float16", seconds, {})


def test_activations_of_a_slow_prefix_are_worth_storing():
    many = activations.worth_keeping(cut(1e-3), 600, 50, 1e12, "image")
    assert many.keep
    assert "activations takes 1.00 ms an image" in many.why and "are read 50 times" in many.why
    assert not activations.worth_keeping(cut(1e-3), 600, 1, 1e12).keep  # Read once.
    assert not activations.worth_keeping(cut(1e-7), 600, 50, 1e12).keep  # Faster than reading.
    too_large = activations.worth_keeping(cut(1e-3), 600, 50, 10)
    assert not too_large.keep
    assert "cache.max_bytes" in too_large.why


def test_activations_larger_than_memory_are_read_at_disk_speed(monkeypatch):
    monkeypatch.setattr(activations, "_memory_speed", lambda: 5e9)  # A busy machine may be slower.
    monkeypatch.setattr(activations, "free_memory", lambda: 10**6)
    slow = activations.worth_keeping(cut(1e-5), 600, 50, 1e12)
    monkeypatch.setattr(activations, "free_memory", lambda: 10**12)
    fast = activations.worth_keeping(cut(1e-5), 600, 50, 1e12)
    assert (slow.keep, fast.keep) == (False, True)
