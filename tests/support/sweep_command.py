"""The command ``elman`` whose sweeps train with `support.sweep_worker`."""

import sys
from pathlib import Path

from elman.apps.sweep import loop
from elman.cli import main

loop.COMMAND = (str(Path(__file__).with_name("sweep_worker.py")),)

if __name__ == "__main__":
    main(sys.argv[1:])
