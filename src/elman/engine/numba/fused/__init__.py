"""The fast path for the reference network (one vanilla RNN layer, batch size 1, AdaGrad), in kernels of its own."""
