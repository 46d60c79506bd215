"""Numbers as a person reads them."""

import pytest

from elman.report.formatting import duration, percent, pluralize, scientific


@pytest.mark.parametrize(
    ("formatted", "expected"),
    [
        (pluralize(0, "update"), "0 updates"),
        (pluralize(1, "update"), "1 update"),
        (pluralize(12_345, "update"), "12,345 updates"),
        *((percent(0), "0 %"), (percent(0.001), "less than 1 %"), (percent(0.014), "1 %"), (percent(0.5), "50 %")),
        *((percent(0.999), "more than 99 %"), (percent(1), "100 %")),
        *((scientific(1.694e-9), "1.69×10⁻⁹"), (scientific(0), "0"), (scientific(None), "not a number")),
        (scientific(float("nan")), "not a number"),
        *((duration(0), "0.0 s"), (duration(9.94), "9.9 s"), (duration(9.96), "10 s"), (duration(59.4), "59 s")),
        *((duration(59.6), "1 min"), (duration(250), "4 min 10 s"), (duration(3599.6), "1 h")),
        (duration(4320), "1 h 12 min"),
    ],
)
def test_numbers_are_rounded_for_people(formatted: str, expected: str) -> None:
    assert formatted.replace("\u00a0", " ") == expected
