"""The command `elman` with a pause after every few updates, which leaves the CPU to the pages that show the run.

It draws no plot at the end, which would take a second.
"""

import sys
import time
from typing import Any

from elman.cli import main
from elman.training import limits, loop

PAUSE_SECONDS = 0.1

limits.TICK_SECONDS = 0.005
vars(loop)["save_plot"] = lambda *_: None
_advance = loop.advance


def advance_and_pause(*arguments: Any) -> None:
    _advance(*arguments)
    time.sleep(PAUSE_SECONDS)


vars(loop)["advance"] = advance_and_pause

if __name__ == "__main__":
    main(sys.argv[1:])
