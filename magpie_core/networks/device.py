"""Devices of this computer, and the choice of device and precision for a network."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from magpie_core.errors import ResourceError

# Memory for a whole brain at 1 mm besides the loaded program; measured by benchmarks/end_to_end.py.
NEEDED_GPU_BYTES = 3 << 30


@dataclass(frozen=True)
class Device:
    """Device and precision of a network: `name` as in torch, `precision` "fp32" or "bf16"."""

    name: str
    precision: str

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the network runs at this precision."""
        kind = torch.device(self.name).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def failures(self) -> type[RuntimeError]:
        """Exceptions after which the CPU may serve: MPS raises plain ones, also for an operation that it lacks."""
        return RuntimeError if self.name == "mps" else torch.OutOfMemoryError


def choose_device(device: str = "auto", precision: str = "auto") -> tuple[Device, tuple[str, ...]]:
    """Choose the CUDA device with the most free memory if that is enough, else MPS on a Mac, else the CPU.

    Args:
        device: "auto", "cpu", "gpu" (CUDA or MPS), "cuda", "cuda:N" or "mps".
        precision: "auto" (bf16 if the device supports it natively), "fp32" or "bf16".

    Returns:
        Device and warnings for the user.

    Raises:
        ResourceError: If the requested device is not available.
    """
    kind = device.split(":")[0]
    if kind not in ("auto", "cpu", "gpu", "cuda", "mps") or precision not in ("auto", "fp32", "bf16"):
        raise ResourceError(
            f"Unknown device or precision: {device!r}, {precision!r}",
            remedy="Use auto, cpu, gpu, cuda, cuda:N or mps, and auto, fp32 or bf16",
        )
    if kind in ("auto", "gpu"):
        has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        kind = "cuda" if has_cuda else "mps" if has_mps else "cpu" if kind == "auto" else "cuda"
    chosen, warnings = _choose_cuda(device) if kind == "cuda" else (_choose_mps() if kind == "mps" else "cpu", ())
    return Device(chosen, choose_precision(chosen, precision)), warnings


def choose_training_device(device: str = "auto") -> tuple[str, tuple[str, ...]]:
    """Choose as `choose_device` does, but by itself no MPS, on which no training was ever seen; and warnings."""
    chosen, warnings = choose_device(device)
    return ("cpu" if device == "auto" and chosen.name == "mps" else chosen.name), warnings


def choose_precision(device: str, precision: str = "auto") -> str:
    """Resolve "auto" to "bf16" if the device supports it natively, else "fp32"; MPS computes in fp32.

    A CPU without bfloat16 instructions is many times slower in bf16 than in fp32.
    """
    if torch.device(device).type == "mps":
        return "fp32"
    if precision != "auto":
        return precision
    return "bf16" if _fast_bf16(device) else "fp32"


def _choose_cuda(device: str) -> tuple[str, tuple[str, ...]]:
    if not torch.cuda.is_available():
        raise ResourceError(
            "No GPU is available on this computer",
            cause="PyTorch finds none, or was built for the CPU only",
            remedy="Use the CPU (command line: --device cpu), or install a PyTorch built for the GPU",
        )
    free = {f"cuda:{index}": torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())}
    if ":" in device:
        if device not in free:
            raise ResourceError(f"There is no device {device!r}", cause=f"available: {', '.join(free)}")
        return device, ()
    best = max(free, key=lambda name: free[name])
    if device == "auto" and free[best] < NEEDED_GPU_BYTES:
        return "cpu", (
            f"The GPU has only {free[best] / 2**30:.1f} GiB of free memory, {NEEDED_GPU_BYTES / 2**30:.0f} GiB are "
            "needed: the CPU is used, which is slower.",
        )
    return best, ()


def _choose_mps() -> str:
    if not torch.backends.mps.is_available():
        raise ResourceError(
            "No GPU of a Mac (MPS) is available on this computer",
            cause="PyTorch finds none: MPS needs a Mac with Apple silicon and a PyTorch built for it",
            remedy="Use the CPU (command line: --device cpu)",
        )
    return "mps"


def _fast_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    # CPUs with AMX have the AVX-512 instructions too.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return supported is not None and bool(supported())


def _free_memory_gib() -> float | None:
    """Return the available memory, or None if the system does not report it."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as stream:
            values = dict(line.split(":", 1) for line in stream)
        return round(int(values["MemAvailable"].split()[0]) / 2**20, 1)
    except (OSError, KeyError, ValueError):
        return None


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Use `count` CPU threads inside the block; None keeps torch's setting."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _gpu_error(device: str) -> str:
    """Run a tiny computation on a GPU and return its error, empty if there is none."""
    try:
        ones = torch.ones(8, 8, device=device)
        return "" if float((ones @ ones).sum()) == 512.0 else "its results are wrong"
    except RuntimeError as error:
        return str(error).splitlines()[0]


def describe_computer() -> dict[str, Any]:
    """Return facts for `magpie doctor` and the panel, as plain values."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "cpu_threads": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "fast_bf16": _fast_bf16("cpu"),
        "free_memory_gib": _free_memory_gib(),
        "cuda": [
            {
                "device": f"cuda:{index}",
                "name": torch.cuda.get_device_name(index),
                "free_memory_gib": round(torch.cuda.mem_get_info(index)[0] / 2**30, 1),
                "error": _gpu_error(f"cuda:{index}"),
            }
            for index in range(torch.cuda.device_count())
        ]
        if torch.cuda.is_available()
        else [],
        # Its memory is that of the computer.
        "mps": {"error": _gpu_error("mps")} if torch.backends.mps.is_available() else None,
    }
