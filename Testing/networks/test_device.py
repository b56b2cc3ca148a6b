"""Precision 'auto' is the one that the device supports natively."""

from types import SimpleNamespace

import pytest
import torch

from magpie_core.networks import device
from magpie_core.networks.device import choose_device, choose_precision


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16"), (False, "fp32")])
def test_precision_auto_is_bf16_only_with_native_support(monkeypatch, fast, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    assert choose_precision("cpu") == choose_device("cpu")[0].precision == precision
    assert [choose_precision("cpu", given) for given in ("bf16", "fp32")] == ["bf16", "fp32"]


def test_precision_auto_is_fp32_if_torch_reports_no_support(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert choose_precision("cpu") == "fp32"


def test_precision_auto_queries_the_chosen_gpu(monkeypatch):
    queried = []

    class Using:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            queried.append(self.name)

        def __exit__(self, *_):
            queried.append(None)

    cuda = SimpleNamespace(device=Using, is_bf16_supported=lambda including_emulation: queried[-1] == "cuda:1")
    monkeypatch.setattr(device.torch, "cuda", cuda)
    assert [choose_precision(name) for name in ("cuda:0", "cuda:1")] == ["fp32", "bf16"]
