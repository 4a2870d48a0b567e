"""The type that training multiplies in: bf16 where the processor is fast in it, else f32."""

import torch


def fast_bf16():
    """Whether this processor multiplies bf16 as fast as f32 or faster; PyTorch 1 cannot train in it."""
    return not torch.__version__.startswith("1.") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


HALF = torch.bfloat16 if fast_bf16() else torch.float32


def autocast():
    return torch.autocast("cpu", torch.bfloat16, enabled=HALF == torch.bfloat16)
