"""The files of the playground."""

from pathlib import Path

from elman.formats import page
from support.static_files import check_page


def test_the_files_refer_to_each_other_and_are_served() -> None:
    check_page("playground", Path(page.__file__).parent / "playground")
