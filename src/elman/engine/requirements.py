"""Whether a run can be trained here: its engine, its device, and the processes of torchrun."""

from __future__ import annotations

from elman.config import Config
from elman.engine.registry import get_engine, require_numba
from elman.engines import ENGINES
from elman.errors import ElmanError
from elman.network.cells import CELLS
from elman.processes import current_process


def require_engine(config: Config) -> None:
    """Check that the engine of a run is installed, has the cell and the device, and can use all processes.

    Raises
    ------
    ElmanError
        If not.
    """
    CELLS[config.cell].require_engine(config.engine)
    require_numba(config.engine)
    process = current_process()
    if process.rank > 0:
        raise ElmanError("torchrun can start elman train, but no program that calls it: torchrun … -m elman train …")
    if process.size > 1 and not ENGINES[config.engine].has_devices:
        raise ElmanError(
            f"torchrun requires --engine torch (got {config.engine}): two machines train such small networks at most"
            " 1.3 times as fast as one; to use several processes, train several networks with elman sweep"
        )
    if process.size > config.batch_size:
        raise ElmanError(
            f"--batch-size must be at least the number of processes, {process.size} (got {config.batch_size})"
        )
    if ENGINES[config.engine].extra:
        get_engine(config.engine, config.device, config.mixed_precision)
