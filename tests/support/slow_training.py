"""The command `elman` with a pause after every few updates, which leaves the CPU to the pages that show the run.

It draws no plot at the end, which would take a second.
"""

import sys
import time
from typing import Any

from elman.cli import main
from elman.training import loop as training

PAUSE_SECONDS = 0.1

training.TICK_SECONDS, training.save_plot = 0.005, lambda *_: None
_advance: Any = training.Trainer.advance


def advance_and_pause(self: training.Trainer) -> str:
    limit: str = _advance(self)
    time.sleep(PAUSE_SECONDS)
    return limit


training.Trainer.advance = advance_and_pause  # type: ignore[method-assign]

if __name__ == "__main__":
    main(sys.argv[1:])
