"""What this processor multiplies fast: linear layers by oneDNN where torch's default float32 product (MKL) is slow, and bfloat16."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import torch


def use_fast_linear(model: torch.nn.Module) -> bool:
    """Route the model's float32 linear layers through oneDNN where that is faster: on AMD processors with AVX-512, 1.1 to 1.5 times.

    Decided by the processor's maker, never by a stopwatch: a resumed run must compute what the run before it computed. True if it was done.
    """
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (_amd() and available and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    layers = [m for m in model.modules() if type(m) is torch.nn.Linear and m.weight.dtype == torch.float32 and m.weight.device.type == "cpu"]
    for layer in layers:
        layer.forward = partial(_linear, layer)  # type: ignore[method-assign]
    return bool(layers)


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in units of their own (AMX or AVX512-BF16)."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _linear(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, "none", [], "")
    return result


@cache
def _amd() -> bool:
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "AuthenticAMD" in facts and "avx512f" in facts  # without AVX-512, MKL is 1.06 times as fast as oneDNN
