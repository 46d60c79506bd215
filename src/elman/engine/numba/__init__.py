"""The compiled engine. Its kernels without intrinsics are interpreted if Numba is not installed, see `jit`.

Every kernel is built from `simd`, `tile`, `panels`, `vector` and `threads`. `online_rnn` trains a vanilla RNN of one
layer with batch size 1 and AdaGrad. `training` and `inference`, with the modules that they import, are for any cell,
number of layers, batch size and optimizer.
"""
