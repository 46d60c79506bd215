"""The compiled engine. Its kernels without intrinsics are interpreted where Numba is not installed, see `jit`."""
