import json
import multiprocessing
import os
import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tl_keras.config.cache import CacheConfig
from tl_keras.data import store
from tl_keras.run.files import TEMPORARY

KEY = {"kind": "numbers", "digests": ["a", "b"]}


@pytest.fixture
def config(tmp_path):
    return CacheConfig(path=str(tmp_path))


class Counting:
    """Fills an array with the number of calls so far."""

    def __init__(self):
        self.calls = 0

    def __call__(self, array):
        self.calls += 1
        array[:] = self.calls


def keep(config, compute, key=KEY, shape=(4, 5), dtype=np.float32):
    return store.keep(config, key, shape, dtype, compute)


def array_file(config):
    (path,) = (store.folder(config) / "arrays").glob("*.npy")
    return path


def test_an_array_is_computed_once_and_then_read(config):
    compute = Counting()
    first, again = keep(config, compute), keep(config, compute)
    assert (first.cached, again.cached, compute.calls) == (False, True, 1)
    np.testing.assert_array_equal(first.array, np.ones((4, 5)))
    np.testing.assert_array_equal(again.array, first.array)
    assert again.array.dtype == np.float32


def test_array_is_mapped_and_read_only(config):
    array = keep(config, Counting()).array
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0


def test_another_key_is_another_array(config):
    compute = Counting()
    keep(config, compute)
    other = keep(config, compute, {**KEY, "digests": ["b", "a"]})
    assert not other.cached and compute.calls == 2
    np.testing.assert_array_equal(keep(config, compute).array, np.ones((4, 5)))


def test_order_of_the_key_does_not_matter(config):
    compute = Counting()
    keep(config, compute)
    assert keep(config, compute, dict(reversed(KEY.items()))).cached


def test_another_shape_or_dtype_under_the_same_key_is_computed(config):
    compute = Counting()
    keep(config, compute)
    assert not keep(config, compute, shape=(5, 4)).cached
    assert not keep(config, compute, shape=(5, 4), dtype=np.uint8).cached


def test_an_empty_array_is_kept(config):
    assert keep(config, Counting(), shape=(0, 3)).array.shape == (0, 3)
    assert keep(config, Counting(), shape=(0, 3)).cached


def flip_byte(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("at", [0, 9, 40, 127, 128, -1], ids=str)
def test_flipped_byte_is_noticed(config, at):
    compute = Counting()
    keep(config, compute)
    flip_byte(array_file(config), at)
    kept = keep(config, compute)
    assert not kept.cached
    np.testing.assert_array_equal(kept.array, np.full((4, 5), 2))
    assert keep(config, compute).cached


@pytest.mark.parametrize("length", [0, 5, 100, 200])
def test_cut_array_is_noticed(config, length):
    compute = Counting()
    keep(config, compute)
    path = array_file(config)
    path.write_bytes(path.read_bytes()[:length])
    assert not keep(config, compute).cached
    assert keep(config, compute).cached


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"null", b'{"crc32": 1}', b'{"key": 1}', b"\xff\xfe"]
)
def test_damaged_record_is_noticed(config, content):
    compute = Counting()
    keep(config, compute)
    array_file(config).with_suffix(".json").write_bytes(content)
    assert [entry.kind for entry in store.entries(config)] == [store.UNFINISHED]
    assert not keep(config, compute).cached
    assert keep(config, compute).cached


def test_array_without_record_is_listed_computed_again_and_removable(config):
    # As after a kill between the two files.
    compute = Counting()
    keep(config, compute)
    array_file(config).with_suffix(".json").unlink()
    assert [entry.kind for entry in store.entries(config)] == [store.UNFINISHED]
    assert not keep(config, compute).cached
    array_file(config).with_suffix(".json").unlink()
    store.make_room(config.model_copy(update={"max_bytes": 0}), 0)
    assert store.entries(config) == []


def test_no_pickle_is_loaded_or_written(config, tmp_path):
    with pytest.raises(ValueError, match="[Oo]bject"):
        keep(config, lambda array: None, dtype=object)
    keep(config, Counting())
    # A planted pickle with the correct checksum.
    path = array_file(config)
    with path.open("wb") as stream:
        np.save(stream, np.array([Planted(str(tmp_path / "ran"))], object), allow_pickle=True)
    record = json.loads(path.with_suffix(".json").read_text())
    record["crc32"] = store._checksum(path)
    path.with_suffix(".json").write_text(json.dumps(record))
    assert not keep(config, Counting()).cached
    assert not (tmp_path / "ran").exists()


class Planted:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_the_planted_pickle_runs_if_it_is_loaded(tmp_path):
    pickle.loads(pickle.dumps(Planted(str(tmp_path / "ran"))))
    assert (tmp_path / "ran").exists()


def test_failing_computation_leaves_nothing(config):
    def fail(array):
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        keep(config, fail)
    left = {path.name for path in (store.folder(config) / "arrays").iterdir()} - {".tl_keras"}
    assert {Path(name).suffix for name in left} <= {".lock"}
    assert not keep(config, Counting()).cached


def test_leftovers_of_a_kill_are_removed(config):
    arrays = store.folder(config) / "arrays"
    keep(config, Counting())
    own = array_file(config)
    own.with_suffix(".json").unlink()
    (arrays / f"{TEMPORARY}1.{own.name}").write_bytes(b"half")
    (arrays / f"{TEMPORARY}2.{40 * 'b'}.npy").write_bytes(b"half")
    keep(config, Counting())
    assert [path.name for path in arrays.iterdir() if path.name.startswith(TEMPORARY)] == []


def test_what_another_process_is_writing_is_not_removed(config):
    arrays = store.subfolder(config, store.ARRAYS)
    unfinished = arrays / f"{TEMPORARY}1.{40 * 'b'}.npy"
    unfinished.write_bytes(b"half")
    with store.FileLock(arrays / f"{40 * 'b'}.lock"):
        keep(config, Counting())
        assert unfinished.exists()
    store.make_room(config, 0)
    assert not unfinished.exists()


KILOBYTE = (1000,)


def kilobyte(config, name):
    return keep(config, Counting(), {"kind": name}, KILOBYTE, np.uint8)


def used_at(config, name, seconds):
    asked = store.Request({"kind": name}, KILOBYTE, "uint8")
    path = store.folder(config) / "arrays" / f"{asked.name}.npy"
    os.utime(path, (seconds, seconds))


def kinds(config):
    return [entry.kind for entry in store.entries(config)]


def test_least_recently_used_make_room(tmp_path):
    config = CacheConfig(path=str(tmp_path), max_bytes=3500)
    for i, name in enumerate("abc"):
        kilobyte(config, name)
        used_at(config, name, i)
    assert kinds(config) == ["a", "b", "c"]
    assert kilobyte(config, "a").cached  # Reading it makes `b` the least recently used.
    kilobyte(config, "d")
    assert set(kinds(config)) == {"c", "a", "d"}
    assert sum(entry.bytes for entry in store.entries(config)) <= 3500
    assert not kilobyte(config, "b").cached


def test_headers_count_towards_max_bytes(tmp_path):
    config = CacheConfig(path=str(tmp_path), max_bytes=2100)
    kilobyte(config, "a")
    kilobyte(config, "b")
    assert sum(entry.bytes for entry in store.entries(config)) <= 2100


def test_an_array_larger_than_the_cache_is_not_kept(tmp_path):
    config = CacheConfig(path=str(tmp_path), max_bytes=2000)
    kilobyte(config, "a")
    compute = Counting()
    for calls in (1, 2):
        kept = keep(config, compute, {"kind": "big"}, (3000,), np.uint8)
        assert not kept.cached and (kept.array == calls).all()
    assert kinds(config) == ["a"]  # No other array was removed for it.


def test_a_full_disk_is_reported_before_writing(config, monkeypatch):
    usage = shutil.disk_usage(config.path)._replace(free=10)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match="cache.path: .* has 0.0 GB of free space"):
        store.keep(config, {"kind": "x"}, (100,), np.uint8, lambda array: array.fill(0))


def test_room_is_made_on_demand(tmp_path):
    config = CacheConfig(path=str(tmp_path))
    for i, name in enumerate("abc"):
        kilobyte(config, name)
        used_at(config, name, i)
    removed = store.make_room(config.model_copy(update={"max_bytes": 1200}), 0)
    assert [entry.kind for entry in removed] == ["a", "b"]
    assert kinds(config) == ["c"]


def test_a_missing_cache_folder_has_no_entries(tmp_path):
    config = CacheConfig(path=str(tmp_path / "none"))
    assert store.entries(config) == []
    assert store.make_room(config, 1) == []


def in_another_process(path, barrier, results):
    def compute(array):
        time.sleep(0.5)
        array[:] = os.getpid()

    barrier.wait()
    kept = store.keep(CacheConfig(path=path), KEY, (3,), np.int64, compute)
    results.put((kept.cached, kept.array.tolist(), os.getpid()))


def test_one_of_two_processes_computes(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=in_another_process, args=(str(tmp_path), barrier, results))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    (one, other) = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert (one[0], other[0]) == (False, True)
    assert one[1] == other[1] == [one[2]] * 3


def several(config, names, computed):
    """Requests arrays of a kilobyte each; `computed` collects the names of the missing ones."""
    requests = [store.Request({"kind": name}, KILOBYTE, "uint8") for name in names]

    def fill(arrays):
        for name, array in zip(names, arrays, strict=True):
            if array is not None:
                computed.append(name)
                array[:] = ord(name)

    return store.keep_all(config, requests, fill)


def test_only_missing_arrays_are_computed(config):
    computed = []
    several(config, "b", computed)
    kept = several(config, "abc", computed)
    assert computed == ["b", "a", "c"]
    assert [entry.cached for entry in kept] == [False, True, False]
    assert [int(entry.array[0]) for entry in kept] == [ord(name) for name in "abc"]


def test_arrays_of_one_request_do_not_remove_each_other(config):
    """Arrays that are requested together stay, even if they are the least recently used."""
    room = config.model_copy(update={"max_bytes": 3 * 1128.0})
    computed = []
    several(room, "ab", computed)
    for name in "ab":
        used_at(room, name, 1)
    several(room, "c", computed)
    used_at(room, "c", 2)
    several(room, "abd", computed)
    assert computed == ["a", "b", "c", "d"] and kinds(room) and "c" not in kinds(room)


def test_two_processes_with_requests_in_another_order_do_not_deadlock(config):
    computed = []
    with ThreadPoolExecutor(2) as pool:
        for i in range(10):
            names = [chr(97 + 2 * i), chr(98 + 2 * i)]
            orders = (names, names[::-1])
            waiting = [pool.submit(several, config, order, computed) for order in orders]
            for future in waiting:
                assert len(future.result(timeout=30)) == 2
    assert len(computed) == len(set(computed)) == 20


def test_arrays_that_do_not_fit_together_are_not_kept(config):
    small = config.model_copy(update={"max_bytes": 2000.0})
    kept = several(small, "ab", [])
    assert [int(entry.array[0]) for entry in kept] == [ord("a"), ord("b")]
    assert store.entries(small) == []


def test_default_folder_is_the_cache_folder_of_the_user(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert store.folder(CacheConfig()).name == "tl_keras"
