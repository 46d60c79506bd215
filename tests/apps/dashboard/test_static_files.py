"""The files of the dashboard."""

from pathlib import Path

from elman.apps.dashboard import server
from support.static_files import check_page


def test_the_files_refer_to_each_other_and_are_served() -> None:
    check_page("dashboard", Path(server.__file__).parent / "static")
