"""Precision 'auto' is the one that the device supports natively."""

from types import SimpleNamespace

import pytest
import torch

from magpie_core.errors import ResourceError
from magpie_core.networks import device
from magpie_core.networks.device import choose_device, choose_precision, choose_training_device


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


@pytest.fixture
def computer(monkeypatch):
    """Pretends to a computer with these GPUs."""

    def pretend(*, cuda=False, mps=False, free_gib=20):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (free_gib << 30, 80 << 30))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(device, "_fast_bf16", lambda name: True)

    return pretend


@pytest.mark.parametrize(
    ("present", "asked", "chosen"),
    [
        ({}, "auto", "cpu"),
        ({"mps": True}, "auto", "mps"),
        ({"mps": True}, "gpu", "mps"),
        ({"mps": True}, "mps", "mps"),
        ({"mps": True}, "cpu", "cpu"),
        ({"cuda": True}, "auto", "cuda:0"),
        ({"cuda": True}, "gpu", "cuda:0"),
        ({"cuda": True, "free_gib": 1}, "auto", "cpu"),
        ({"cuda": True, "free_gib": 1}, "gpu", "cuda:0"),
    ],
)
def test_the_device_is_cuda_else_mps_else_the_cpu(computer, present, asked, chosen):
    computer(**present)
    assert choose_device(asked)[0].name == chosen


def test_a_training_goes_to_mps_only_if_asked_and_says_why_it_does_not_go_to_a_gpu(computer):
    computer(mps=True)
    assert [choose_training_device(asked)[0] for asked in ("auto", "gpu", "mps")] == ["cpu", "mps", "mps"]
    computer(cuda=True)
    assert choose_training_device() == ("cuda:0", ())
    computer(cuda=True, free_gib=1)
    chosen, (warning,) = choose_training_device()
    assert chosen == "cpu" and "1.0 GiB" in warning


@pytest.mark.parametrize("asked", ["gpu", "cuda", "mps"])
def test_a_device_that_is_not_there_is_an_error_with_a_remedy(computer, asked):
    computer()
    with pytest.raises(ResourceError) as caught:
        choose_device(asked)
    assert "CPU" in caught.value.remedy


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp32"])
def test_mps_computes_in_fp32(computer, precision):
    computer(mps=True)
    assert choose_device("mps", precision)[0].precision == "fp32"


def test_a_mac_falls_back_to_the_cpu_after_any_failure_of_its_gpu():
    assert issubclass(NotImplementedError, device.Device("mps", "fp32").failures)
    assert not issubclass(NotImplementedError, device.Device("cuda:0", "fp32").failures)
