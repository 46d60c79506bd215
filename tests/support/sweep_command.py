"""The command ``elman`` whose sweeps use the workers of `support.sweep_worker`."""

import sys
from pathlib import Path

from elman.apps.sweep import controller
from elman.cli import main

controller.COMMAND = (str(Path(__file__).with_name("sweep_worker.py")),)

if __name__ == "__main__":
    main(sys.argv[1:])
