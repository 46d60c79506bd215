"""Trained models: the built-in one, and their names."""

from pathlib import Path

import pytest

from elman.errors import ElmanError
from elman.model import loading
from elman.model.loading import MODELS, BuiltinModel, find_builtin, fingerprint, load_builtin

NEWEST = MODELS[-1]


@pytest.mark.parametrize("model", MODELS)
def test_its_file_is_the_one_that_is_described(model: BuiltinModel) -> None:
    loaded = load_builtin(model)
    assert fingerprint(loaded).hex() == model.fingerprint
    assert set(loaded.alphabet.characters) >= {"\n", "\t", "\r", *map(chr, range(32, 127)), *"“”‘’—é"}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (NEWEST._replace(sha256="0" * 64), f"the contents of {NEWEST.file} do not match its SHA-256"),
        (NEWEST._replace(file="none.xz"), "cannot read none.xz: No such file or directory"),
    ],
)
def test_a_damaged_file_is_one_line(model: BuiltinModel, reason: str) -> None:
    with pytest.raises(ElmanError) as raised:
        load_builtin(model)
    assert str(raised.value) == f"the built-in model cannot be used ({reason}): reinstall elman, or pass a run"


def test_models_are_found_by_the_start_of_their_fingerprint() -> None:
    whole = bytes.fromhex(NEWEST.fingerprint)
    assert [find_builtin(whole[:width]) for width in (2, 4, 32)] == [NEWEST] * 3
    assert find_builtin(bytes([whole[0] ^ 1]) + whole[1:4]) is None


def test_a_model_is_named_after_its_run_or_file(tmp_path: Path) -> None:
    (tmp_path / "run.3").mkdir()
    for file, name in (("run.3", "run.3"), ("run.3/best.safetensors", "run.3"), ("run.3/a.safetensors", "a")):
        assert loading.name_model(tmp_path / file) == name
