"""The built-in model: its file, and what stands for it."""

from pathlib import Path

import pytest

import elman
from elman.errors import ElmanError
from elman.inference.fingerprint import fingerprint
from elman.runs import builtin
from elman.runs.run import load_builtin
from elman.storage.builtin import MODELS, BuiltinModel

NEWEST = MODELS[-1]


@pytest.mark.parametrize("model", MODELS)
def test_its_file_is_the_one_that_is_described(model: BuiltinModel) -> None:
    assert fingerprint(load_builtin(model)).hex() == model.fingerprint


def test_its_alphabet_has_what_texts_have() -> None:
    characters = load_builtin().alphabet.characters
    assert set(characters) >= {"\n", "\t", "\r", *map(chr, range(32, 127)), *"“”‘’—é"}


def test_its_name_is_that_of_a_path_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fingerprint(elman.load("builtin")).hex() == NEWEST.fingerprint
    Path("builtin").mkdir()
    with pytest.raises(ElmanError, match=r"there is no checkpoint 'builtin/checkpoint\.safetensors'"):
        elman.load("builtin")


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
    assert [builtin.find_builtin(whole[:width]) for width in (2, 4, 32)] == [NEWEST] * 3
    assert builtin.find_builtin(bytes([whole[0] ^ 1]) + whole[1:4]) is None
