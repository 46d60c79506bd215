"""CUDA graphs: a training step is captured once and then replayed, which costs the launch of one graph.

An update of a small network consists of some hundred kernels, each of which takes less time to run than to launch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP_STEPS = 3
"""Steps before the capture, as PyTorch recommends: libraries initialize themselves in the first ones."""


class CapturedStep:
    """A step on a CUDA device that is captured as a CUDA graph after a warm-up, and replayed from then on.

    The calls of the warm-up are steps like all others, so nothing has to be undone before the capture, which itself
    executes nothing.

    Parameters
    ----------
    step : callable
        Reads and writes tensors whose memory stays the same, its static buffers. It must do the same operations at
        every call, allocate what it allocates by PyTorch, and never wait for the device.
    device : torch.device
    """

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self.step = step
        self.stream = torch.cuda.Stream(device)
        self.warm_up_steps = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do the step, in the order of the current stream."""
        if self.graph is None and self.warm_up_steps < WARM_UP_STEPS:
            self.warm_up_steps += 1
            self._run_on_side_stream()
            return
        if self.graph is None:
            self.graph = self._capture()
        self.graph.replay()

    def _run_on_side_stream(self) -> None:
        """Do the step on the stream of the capture, as libraries have a workspace per stream."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            self.step()
        current.wait_stream(self.stream)

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.step()
        return graph
