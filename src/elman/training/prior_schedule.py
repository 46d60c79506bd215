"""When the n-gram prior takes part in training.

A network that is trained with the prior from the start leaves to it what the last characters imply, and learns less of
everything else. With ``ngram_start`` it first learns without the prior, whose alpha are zero; for the rest of the run
both are trained together, and only then is the cost of the counts paid.
`docs/explanation/ngram_prior.md` has the comparison.
"""

from __future__ import annotations

import math

from elman.config import Config
from elman.engine import TrainState

LATE_ALPHA = 0.3
"""Weight of a prior that is switched on in a trained network, near the values it is trained to."""
LOGIT_SCALE = 0.5
"""The network's own logits are multiplied by this at the same time: both describe much of the same."""


def prior_start(config: Config, last: int) -> int:
    """Return after how many of `last` updates the prior takes part."""
    return math.ceil(config.ngram_start * last)


def switch_on_prior(state: TrainState) -> bool:
    """Let the prior take part from the next update on; return False if it does already, or if there is none."""
    if state.parameters.ngrams is None or state.parameters.uses_prior:
        return False
    for arrays in filter(None, (state.parameters.arrays, state.average)):
        arrays["alpha"][...] = LATE_ALPHA
        for name in ("V", "c"):
            arrays[name] *= LOGIT_SCALE
    return True
