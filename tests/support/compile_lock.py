"""One compilation of each kernel for all processes of a test run.

The workers start together, with an empty cache, and need the same kernels first. Numba takes no lock, so that each of
them would compile the same kernel; here the first one compiles it, and the others wait and load it from the cache.
"""

import hashlib
import os
from functools import wraps
from typing import Any

from filelock import FileLock
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

from elman.jit import parallel
from elman.storage import cache_dir


def lock_compilation() -> None:
    """Let every compilation in this process hold a lock that it shares with other processes.

    It starts none that would compile beside it: they import Numba first, and take no lock.
    """
    parallel.MAX_WORKERS = 0
    directory = cache_dir() / "locks"
    directory.mkdir(parents=True, exist_ok=True)
    dispatcher: Any = Dispatcher
    compile_unlocked = dispatcher.compile

    @wraps(compile_unlocked)
    def compile_locked(self: Any, signature: Any) -> Any:
        function = self.py_func
        if "elman" not in function.__module__.split("."):  # Numba's own functions are not cached
            return compile_unlocked(self, signature)
        path = f"{function.__code__.co_filename}:{function.__qualname__}"
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        # A thread that compiles holds Numba's lock first; in the other order, two threads could wait for each other.
        with global_compiler_lock, FileLock(directory / f"{name}.lock", is_singleton=True):
            return compile_unlocked(self, signature)

    dispatcher.compile = compile_locked
