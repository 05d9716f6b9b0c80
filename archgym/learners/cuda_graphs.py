"""Functions that launch many small kernels, captured in CUDA graphs: one launch for all of them.

With networks this small a GPU waits for Python between any two kernels. What is captured must read and write tensors
that stay where they are, and wait for nothing; the function is the one that runs on every other device.
(https://docs.pytorch.org/docs/stable/notes/cuda.html, CUDA Graphs)
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

WARM_UPS = 3  # as many as torch's notes make: libraries allocate their working memory in the first calls


def repeated(function: Callable[[], None], changed: Iterable[Tensor], device: torch.device) -> Callable[[], None]:
    """Capture a function on a CUDA device; on any other give back the function itself.

    Args:
        function: What to capture. Python code in it runs now, and not when the graph is replayed.
        changed: All tensors that a call changes and a later call reads; afterwards they are as before.
        device: Where it computes.
    """
    if device.type != "cuda":
        return function
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        warm_up(function, changed)
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph):
        function()
    replay: Callable[[], None] = graph.replay
    return replay


@torch.no_grad()
def warm_up(function: Callable[[], None], changed: Iterable[Tensor]) -> None:
    """Call a function a few times, and put back what it changed."""
    tensors = list(changed)
    kept = [tensor.clone() for tensor in tensors]
    for _ in range(WARM_UPS):
        function()
    for tensor, before in zip(tensors, kept, strict=True):
        tensor.copy_(before)
