"""Precision and device: what auto means, and what is refused."""

from __future__ import annotations

import pytest
import torch

from deepdraw.runtime.precision import Precision, find_device

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_auto_on_a_processor_with_matrix_units_for_bf16_is_bf16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert Precision("auto", CPU).name == "bf16"


def test_auto_on_the_cpu_is_fp32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    precision = Precision("auto", CPU)
    assert precision.name == "fp32"
    with precision.autocast():
        assert torch.ones(2, 2).matmul(torch.ones(2, 2)).dtype == torch.float32
    assert not precision.scaler().is_enabled()


@pytest.mark.parametrize(("has_bf16", "name"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_bf16_where_the_gpu_itself_has_it(monkeypatch, has_bf16, name):
    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return has_bf16 or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert Precision("auto", CUDA).name == name


@pytest.mark.parametrize(
    ("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)]
)
def test_products_are_computed_in_the_format_named(name, dtype):
    with Precision(name, CPU).autocast():
        assert torch.ones(2, 2).matmul(torch.ones(2, 2)).dtype == dtype
    assert torch.ones(2, 2).matmul(torch.ones(2, 2)).dtype == torch.float32


def test_fp16_alone_scales_the_loss():
    assert [Precision(name, CPU).scaler().is_enabled() for name in ("fp32", "bf16", "fp16")] == [False, False, True]


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="^precision=fp8 is unknown: choose auto, bf16, fp16 or fp32$"):
        Precision("fp8", CPU)


def test_the_device_is_found_or_refused_in_one_line(monkeypatch):
    assert find_device("cpu") == CPU
    assert find_device("auto").type in ("cuda", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == CPU
    for absent in ("cuda:99", "gpu", "cpu:x", ""):
        with pytest.raises(ValueError, match=r"^device=.* is not available \(.*\): use device=auto or") as refused:
            find_device(absent)
        assert "\n" not in str(refused.value)
