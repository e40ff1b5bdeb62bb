"""FLOPs are those that arithmetic by hand gives, and peaks those of the data sheet or of a measured product."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks import flops
from benchmarks.flops import count_flops, data_sheet, matmul_flops


def test_a_multiplication_and_its_addition_are_two():
    assert count_flops(lambda: nn.Linear(5, 7)(torch.zeros(3, 5))) == 2 * 3 * 5 * 7


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_a_convolutions_gradients_cost_as_much_as_it_does_each(groups: int):
    convolution, images = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=groups), torch.zeros(2, 8, 10, 10)
    forward = 2 * (2 * 16 * 5 * 5) * (8 // groups * 3 * 3)
    assert count_flops(lambda: convolution(images)) == forward
    assert count_flops(lambda: convolution(images).sum().backward()) == 2 * forward
    assert count_flops(lambda: convolution(images.requires_grad_()).sum().backward()) == 3 * forward
    convolution.requires_grad_(False)
    assert count_flops(lambda: convolution(images).sum().backward()) == 2 * forward


def test_attention_counts_whichever_kernel_computes_it():
    attention, tokens = nn.MultiheadAttention(8, num_heads=2, batch_first=True).eval(), torch.zeros(3, 6, 8)
    projections, products = 2 * 3 * 6 * 8 * (4 * 8), 2 * (2 * 3 * 6 * 6 * 8)

    def attend() -> torch.Tensor:
        return attention(tokens, tokens, tokens, need_weights=False)[0]

    with torch.no_grad():
        assert count_flops(attend) == projections + products
    # the projection of the tokens, three in one, has gradients by its weights alone
    assert count_flops(lambda: attend().sum().backward()) == 3 * (projections + products) - projections * 3 // 4
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_data_sheet_knows_the_gpu_and_the_numbers():
    assert data_sheet("NVIDIA H100 80GB HBM3", torch.bfloat16) == 989e12
    assert data_sheet("Tesla T4", torch.float32) == 8.1e12
    assert data_sheet("Tesla T4", torch.bfloat16) is None
    assert data_sheet("NVIDIA A100-SXM4-40GB MIG 1g.5gb", torch.float16) is None


def test_matrices_grow_until_a_product_takes_a_tenth_of_a_second(monkeypatch):
    seconds = {256: 0.5e-3, 512: 2e-3, 1024: 0.2}
    monkeypatch.setattr(flops, "_seconds_to_square", lambda matrix: seconds[len(matrix)])
    assert matmul_flops(torch.float32, torch.device("cpu")) == 2 * 512**3 / 2e-3
