"""Floating-point operations: how many a model's call takes, and how many a device does in a second at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

# TFLOP/s in bf16, fp16 and fp32 by NVIDIA's data sheets, and for GeForce cards by the white papers of their
# architectures (Ada, GA102): dense, which is half of what is printed "with sparsity", and accumulated in fp32. fp32 is
# without tensor cores, as torch multiplies matrices by default; its convolutions may use TF32 and go beyond.
DATA_SHEETS: dict[str, tuple[float | None, float, float]] = {
    "NVIDIA H200": (989, 989, 67),
    "NVIDIA H100 80GB HBM3": (989, 989, 67),
    "NVIDIA H100 NVL": (835, 835, 60),
    "NVIDIA H100 PCIe": (756, 756, 51),
    "NVIDIA A100-SXM4-80GB": (312, 312, 19.5),
    "NVIDIA A100-SXM4-40GB": (312, 312, 19.5),
    "NVIDIA A100 80GB PCIe": (312, 312, 19.5),
    "NVIDIA A100-PCIE-40GB": (312, 312, 19.5),
    "NVIDIA L40S": (362, 362, 91.6),
    "NVIDIA L4": (121, 121, 30.3),
    "NVIDIA A10": (125, 125, 31.2),
    "NVIDIA GeForce RTX 4090": (165.2, 165.2, 82.6),
    "NVIDIA GeForce RTX 3090": (71, 71, 35.6),
    "Tesla V100-SXM2-32GB": (None, 125, 15.7),
    "Tesla V100-SXM2-16GB": (None, 125, 15.7),
    "Tesla V100-PCIE-16GB": (None, 112, 14),
    "Tesla T4": (None, 65, 8.1),
}
DTYPES = (torch.bfloat16, torch.float16, torch.float32)  # of those columns


def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions of a call, a multiplication and its addition being two.

    Attention counts as its products, each once, though a fused kernel computes some again on the way back.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its one operator for a whole layer would count as none
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )
    try:
        with sdpa_kernel(SDPBackend.MATH), counter:
            call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops()


def _convolution_backward(
    outputs: Sequence[int], inputs: Sequence[int], weight: Sequence[int], *arguments: object, **keywords: object
) -> int:
    """Of tensors of these shapes: as much as the forward pass for each of the gradients by inputs and by weight.

    torch's own formula (up to 2.15 at least) counts the weights of a grouped convolution as if it had no groups.
    """
    *_, transposed, _, _, wanted = arguments
    assert isinstance(transposed, bool) and isinstance(wanted, list | tuple)
    return sum(wanted[:2]) * conv_flop_count(list(inputs), list(weight), list(outputs), transposed)


def data_sheet(gpu: str, dtype: torch.dtype) -> float | None:
    """FLOP/s of the GPU that torch calls `gpu`, at most and in numbers of this type; None where we know of none."""
    tflops = DATA_SHEETS.get(gpu, (None, None, None))[DTYPES.index(dtype)]
    return tflops and tflops * 1e12


@torch.inference_mode()
def matmul_flops(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of the best of square matrix products, made larger until one takes a tenth of a second."""
    best = 0.0
    for size in (256, 512, 1024, 2048, 4096, 8192, 16384):
        matrix = torch.randn(size, size, dtype=dtype, device=device)
        seconds = min(_seconds_to_square(matrix) for _ in range(5))
        best = max(best, 2 * size**3 / seconds)
        if seconds > 0.1:
            break
    return best


def _seconds_to_square(matrix: torch.Tensor) -> float:
    start = time.perf_counter()
    torch.mm(matrix, matrix)
    if matrix.device.type == "cuda":
        torch.cuda.synchronize(matrix.device)
    return time.perf_counter() - start
