"""The files of the built-in models."""

from pathlib import Path

from elman.storage import builtin


def test_the_files_are_small_and_have_their_licences() -> None:
    folder = Path(builtin.__file__).parent
    assert sum(path.stat().st_size for path in folder.glob("*.xz")) <= 2_000_000
    notice = (folder / "NOTICE.md").read_text("utf-8")
    assert builtin.MODELS[-1].file in notice
    assert "LICENSE.python.txt" in notice
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (folder / "LICENSE.python.txt").read_text("utf-8")
