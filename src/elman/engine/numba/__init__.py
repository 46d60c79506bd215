"""The compiled engine. Its kernels without intrinsics are interpreted where Numba is not installed, see `jit`.

`simd`, `tile`, `panels`, `vector` and `threads` are what every kernel is built from. `online_rnn` trains a vanilla RNN
of one layer with batch size 1 and AdaGrad; `training` and `inference`, with what they import, are for any cell, number
of layers, batch size and optimizer.
"""
