"""Files of tensors, and those of the built-in models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import ElmanError
from elman.storage import builtin, tensors
from elman.storage.tensors import read_tensors, save_tensors, serialize_with_digest


def test_a_file_does_not_depend_on_the_byte_order_of_the_machine() -> None:
    dtypes = ("float32", "float64", "uint8", "uint16", "uint64")
    arrays: dict[str, Any] = {dtype: np.arange(1, 7).reshape(2, 3).astype(dtype) for dtype in dtypes}
    swapped = {name: array.astype(array.dtype.newbyteorder("S")) for name, array in arrays.items()}
    assert serialize_with_digest("{}", swapped) == serialize_with_digest("{}", arrays)


def test_the_same_contents_are_the_same_bytes() -> None:
    arrays: dict[str, Any] = {"b": np.ones(3, "float32"), "a": np.zeros((2, 2), "float32")}
    assert len({serialize_with_digest('{"text": "äß\u2028\\u0000"}', arrays) for _ in range(20)}) == 1


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arrays are mapped after the others were read, as when a run in training saves its checkpoint meanwhile."""
    path, map_tensor = tmp_path / "file", tensors._map_tensor
    contents = [{"large.a": np.arange(size, dtype="int64")} for size in (9, 7)]
    save_tensors(path, {"n": 1}, contents[0])

    def replace_and_map(*arguments: Any) -> Any:
        monkeypatch.setattr(tensors, "_map_tensor", map_tensor)
        save_tensors(path, {"n": 2}, contents[1])
        return map_tensor(*arguments)

    monkeypatch.setattr(tensors, "_map_tensor", replace_and_map)
    text, arrays = read_tensors(path, "large.")
    assert text == '{"n": 2}'
    np.testing.assert_array_equal(arrays["large.a"], contents[1]["large.a"])


def test_the_files_are_small_and_have_their_licences() -> None:
    folder = Path(builtin.__file__).parent
    assert sum(path.stat().st_size for path in folder.glob("*.xz")) <= 2_000_000
    notice = (folder / "NOTICE.md").read_text("utf-8")
    assert builtin.MODELS[-1].file in notice
    assert "LICENSE.python.txt" in notice
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (folder / "LICENSE.python.txt").read_text("utf-8")


def test_without_a_temporary_directory_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(builtin, "TemporaryDirectory", fail)
    with (
        pytest.raises(ElmanError, match=r"^the built-in model cannot be unpacked: No usable temporary directory found"),
        builtin.unpack_builtin(builtin.MODELS[-1]),
    ):
        pass
