"""The precision is one that the computer is fast at, unless another is asked for."""

from types import SimpleNamespace

import pytest
import torch

from magpie_core.networks import device
from magpie_core.networks.device import choose_device, choose_precision


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_only_where_that_is_fast(monkeypatch, fast, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    assert choose_precision("cpu") == choose_device("cpu")[0].precision == precision
    assert [choose_precision("cpu", asked) for asked in ("bf16", "fp32")] == ["bf16", "fp32"]


def test_a_torch_that_cannot_tell_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert choose_precision("cpu") == "fp32"


def test_the_graphics_card_that_is_used_is_the_one_that_is_asked(monkeypatch):
    asked = []

    class Using:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            asked.append(self.name)

        def __exit__(self, *_):
            asked.append(None)

    cards = SimpleNamespace(device=Using, is_bf16_supported=lambda including_emulation: asked[-1] == "cuda:1")
    monkeypatch.setattr(device.torch, "cuda", cards)
    assert [choose_precision(name) for name in ("cuda:0", "cuda:1")] == ["fp32", "bf16"]
