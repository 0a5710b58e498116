import json

import numpy as np
import pytest
from text_models import write_safetensors

from tl_keras.backbones import safetensors

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3) / 3,
    "b": np.array([1.5, -2.0], np.float32),
    "empty": np.zeros((0, 4), np.float32),
}


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("F32", 0), ("F16", 2**-11), ("BF16", 2**-7)],  # The last digit of each type.
)
def test_values_of_each_type_become_float32(dtype, tolerance, tmp_path):
    write_safetensors(tmp_path / "model.safetensors", ARRAYS, dtype)
    tensors = safetensors.tensors_of(tmp_path)
    assert list(tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        found = safetensors.load(tensors[name])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, array, rtol=tolerance)


def test_files_of_the_package_safetensors_are_read(tmp_path):
    package = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    package.save_file(ARRAYS, tmp_path / "model.safetensors")
    tensors = safetensors.tensors_of(tmp_path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(safetensors.load(tensors[name]), array)


def test_parts_are_joined_and_lie_beside_the_index(tmp_path):
    for i, name in enumerate(ARRAYS):
        write_safetensors(tmp_path / f"model-{i}.safetensors", {name: ARRAYS[name]})
    index = {name: f"/etc/../model-{i}.safetensors" for i, name in enumerate(ARRAYS)}
    file = tmp_path / "model.safetensors.index.json"
    file.write_text(json.dumps({"weight_map": index}))
    assert set(safetensors.tensors_of(tmp_path)) == set(ARRAYS)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks model-1\.safetensors, a part of the weights"):
        safetensors.tensors_of(tmp_path)
    file.write_text("[1]")
    with pytest.raises(ValueError, match=r"index\.json' is damaged"):
        safetensors.tensors_of(tmp_path)


def test_a_folder_with_pickles_alone_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    message = r"no model\.safetensors, only pytorch_model\.bin, a pickle, which can run code; downl"
    with pytest.raises(ValueError, match=message):
        safetensors.tensors_of(tmp_path)


def _file(header: bytes, content: bytes = b"", length: int | None = None) -> bytes:
    size = len(header) if length is None else length
    return size.to_bytes(8, "little") + header + content


def _entry(**changed) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changed}
    return json.dumps({"a": entry}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"123",
        _file(b"{}", length=2**63),
        _file(b"{}", length=3),
        _file(b"not JSON"),
        _file(b"[" * 100_000),
        _file(b"[]"),
        _file(b'{"a": 1}'),
        _file(_entry(), b"1234567"),  # One byte is missing.
        _file(_entry(shape=[3]), b"12345678"),
        _file(_entry(shape=[2**40, 2**40]), b"12345678"),
        _file(_entry(shape=[-1, -2]), b"12345678"),
        _file(_entry(shape="2"), b"12345678"),
        _file(_entry(data_offsets=[8, 0]), b"12345678"),
        _file(_entry(data_offsets=[-8, 0]), b"12345678"),
        _file(_entry(data_offsets=[0.0, 8.0]), b"12345678"),
        _file(_entry(dtype="F8_E4M3", data_offsets=[0, 2**40]), b"12345678"),
    ],
)
def test_damaged_and_hostile_files_are_refused_before_anything_is_read(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors' is damaged or not a safetensors"):
        safetensors.tensors_of(tmp_path)


def test_unknown_types_are_refused_only_if_they_are_needed(tmp_path):
    file = _file(_entry(dtype="F8_E4M3", data_offsets=[0, 2]), b"12")
    (tmp_path / "model.safetensors").write_bytes(file)
    tensor = safetensors.tensors_of(tmp_path)["a"]
    with pytest.raises(ValueError, match="has values of type F8_E4M3; expected one of F64"):
        safetensors.load(tensor)
