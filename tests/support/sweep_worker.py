"""A worker of a sweep with a checkpoint every few updates, so that a short trial can be killed between them."""

import time
from typing import Any

from elman.apps.sweep.worker import main
from elman.training import checkpoints, limits, loop

limits.TICK_SECONDS, checkpoints.CHECKPOINT_SECONDS, checkpoints.CHECKPOINT_SHARE = 0.004, 0.0, 1e9
vars(loop)["save_plot"] = lambda *_: None  # which would take a second
_advance = loop.advance


def advance_slowly(*arguments: Any) -> None:
    _advance(*arguments)
    time.sleep(0.01)


vars(loop)["advance"] = advance_slowly

if __name__ == "__main__":
    main()
