"""A worker of a sweep with a checkpoint every few updates, so that a short trial can be killed between them."""

import time
from typing import Any

from elman.apps.sweep.worker import main
from elman.training import loop as training

training.TICK_SECONDS, training.CHECKPOINT_SECONDS, training.CHECKPOINT_SHARE = 0.004, 0.0, 1e9
training.save_plot = lambda *_: None  # which would take a second
_advance: Any = training.Trainer.advance


def advance_slowly(self: training.Trainer) -> str:
    limit: str = _advance(self)
    time.sleep(0.01)
    return limit


training.Trainer.advance = advance_slowly  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
