"""Every mode with bitwise context mixing has a variant, whose parts fit the mixer's inputs."""

import pytest

from elman.compression.bitwise.mixer import INPUTS, MAX_DISTRIBUTIONS
from elman.compression.bitwise.variants import BASIC, WITH_BACKGROUND, WITH_PARAGRAPHS, variant_of
from elman.compression.container import Mode


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.is_bitwise])
def test_its_inputs_have_room(mode: Mode) -> None:
    variant = variant_of(mode)
    assert 2 * (variant.C + variant.M) + 1 + len(variant.weights) <= INPUTS
    assert len(variant.weights) in (1, MAX_DISTRIBUTIONS)


def test_only_long_files_have_the_later_variants() -> None:
    later = {mode: variant_of(mode) for mode in Mode if mode.is_bitwise and variant_of(mode) != BASIC}
    assert later == {Mode.BITWISE_PARAGRAPHS: WITH_PARAGRAPHS, Mode.BITWISE_BACKGROUND: WITH_BACKGROUND}
