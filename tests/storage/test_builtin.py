"""The files of the built-in models."""

from pathlib import Path

import pytest

from elman.errors import ElmanError
from elman.storage import builtin


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
