"""What the tests of compatibility share."""

import pytest

from support.compatibility import DATA


@pytest.fixture
def _in_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the paths of recorded commands be relative to the data."""
    monkeypatch.chdir(DATA)
