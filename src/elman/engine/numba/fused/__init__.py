"""The reference experiment's network: one vanilla layer, batch size 1, AdaGrad, in kernels of its own."""
