"""The command `elman` with a checkpoint every few updates, so that a short run can be killed between them."""

import sys

from elman.cli import main
from elman.training import checkpoints, limits

limits.TICK_SECONDS, checkpoints.CHECKPOINT_SECONDS, checkpoints.CHECKPOINT_SHARE = 0.004, 0.0, 1e9

if __name__ == "__main__":
    main(sys.argv[1:])
