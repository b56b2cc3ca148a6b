"""What this computer can do, and where a study is best looked at."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from magpie_core.errors import ResourceError

# A whole brain at 1 mm needs about this much beside the loaded program; benchmarks/end_to_end.py prints the figure.
NEEDED_GPU_BYTES = 3 << 30
NEEDED_CPU_BYTES = 2 << 30


@dataclass(frozen=True)
class Device:
    """Where and how the network runs: `name` as torch knows it, `precision` "fp32" or "bf16"."""

    name: str
    precision: str

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which the network runs at this precision."""
        kind = torch.device(self.name).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16")


def choose_device(device: str = "auto", precision: str = "auto") -> tuple[Device, tuple[str, ...]]:
    """Pick the CUDA device with most free memory if it has enough, else the CPU.

    Parameters
    ----------
    device
        "auto", "cpu", "cuda" or "cuda:N".
    precision
        "auto" (bf16 where the processor is fast at it), "fp32" or "bf16".

    Returns
    -------
    Device and warnings for the user.

    Raises
    ------
    ResourceError
        If a device was asked for that this computer does not have.
    """
    warnings: list[str] = []
    kind = device.split(":")[0]
    if kind not in ("auto", "cpu", "cuda") or precision not in ("auto", "fp32", "bf16"):
        raise ResourceError(
            f"Unknown device or precision: {device!r}, {precision!r}",
            remedy="Use auto, cpu, cuda or cuda:N, and auto, fp32 or bf16",
        )
    chosen = "cpu"
    if kind == "cuda" or (kind == "auto" and torch.cuda.is_available()):
        chosen, note = _choose_cuda(device)
        warnings += note
    return Device(chosen, choose_precision(chosen, precision)), tuple(warnings)


def choose_precision(device: str, precision: str = "auto") -> str:
    """What was asked for; for "auto", "bf16" where the device is fast at it and "fp32" elsewhere.

    Without instructions of its own for bf16, a processor takes many times longer than in fp32.
    """
    if precision != "auto":
        return precision
    return "bf16" if _fast_bf16(device) else "fp32"


def _choose_cuda(device: str) -> tuple[str, list[str]]:
    if not torch.cuda.is_available():
        raise ResourceError(
            "There is no graphics card (CUDA) that can be used on this computer",
            cause="PyTorch finds none, or is made for the processor alone",
            remedy="Use the processor (command line: --device cpu), or install a PyTorch made for the card",
        )
    free = {f"cuda:{index}": torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())}
    if ":" in device:
        if device not in free:
            raise ResourceError(f"There is no device {device!r}", cause=f"available: {', '.join(free)}")
        return device, []
    best = max(free, key=lambda name: free[name])
    if device == "auto" and free[best] < NEEDED_GPU_BYTES:
        return "cpu", [
            f"The graphics card has only {free[best] / 2**30:.1f} GiB free of the {NEEDED_GPU_BYTES / 2**30:.0f} GiB "
            "needed, so the processor is used, which is slower."
        ]
    return best, []


def _fast_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    # Torch asks the processor itself, on any system; those with AMX have AVX-512's instructions too.
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return asked is not None and bool(asked())


def free_memory_bytes() -> int | None:
    """Memory that can be had now, or None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as stream:
            values = dict(line.split(":", 1) for line in stream)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Use `count` processor threads inside the block; None leaves torch's choice."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fault_of(index: int) -> str:
    """What goes wrong in a tiny run on a graphics card; empty if nothing does."""
    try:
        ones = torch.ones(8, 8, device=f"cuda:{index}")
        return "" if float((ones @ ones).sum()) == 512.0 else "it computes wrongly"
    except RuntimeError as error:
        return str(error).splitlines()[0]


def describe_computer() -> dict[str, Any]:
    """Facts for `magpie doctor` and the panel's check, JSON-able."""
    memory = free_memory_bytes()
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "processor_threads": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "fast_bf16": _fast_bf16("cpu"),
        "free_memory_gib": None if memory is None else round(memory / 2**30, 1),
        "cuda": [
            {
                "device": f"cuda:{index}",
                "name": torch.cuda.get_device_name(index),
                "free_memory_gib": round(torch.cuda.mem_get_info(index)[0] / 2**30, 1),
                "fault": _fault_of(index),
            }
            for index in range(torch.cuda.device_count())
        ]
        if torch.cuda.is_available()
        else [],
    }
