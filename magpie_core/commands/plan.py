"""`magpie plan`: estimate the cost of a long training before it is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magpie_core.commands.options import AsJson, DeviceName, Threads, ranged
from magpie_core.commands.output import print_json, print_line, print_message
from magpie_core.storage.ranges import COUNT, SPACING_MM, VOXELS, Range

if TYPE_CHECKING:
    from magpie_core.pretraining.cost_estimate import CostEstimate

app = typer.Typer(no_args_is_help=True, help="Estimate the cost of a long training.")

DatasetFolder = Annotated[
    Path | None, typer.Option(help="Prepared dataset, for the number, size and preparation time of scans.")
]
GpuName = Annotated[str, typer.Option("--gpu", help="GPU, such as H200; 'here' measures some steps on this computer.")]


@app.callback()
def plan() -> None:
    """Estimate the cost of a long training."""


@app.command("pretraining")
def pretraining(
    scans: Annotated[int, typer.Option(help="Number of scans; default: those of --dataset.", **ranged(COUNT))] = 0,
    gpus: Annotated[int, typer.Option(help="Number of GPUs that train together.", **ranged(Range(1, 10**6)))] = 1,
    gpu_name: GpuName = "here",
    network_name: Annotated[str, typer.Option("--network", help="Network to pretrain.")] = "magpie-s",
    preset_name: Annotated[str, typer.Option("--preset", help="Preset: magpie, paper or amaes.")] = "magpie",
    epochs: Annotated[int, typer.Option(help="Number of epochs.", **ranged(Range(1, 10**6)))] = 100,
    view_size: Annotated[
        tuple[int, int, int] | None, typer.Option(help="Size of a view in voxels (R, A, S).", **ranged(VOXELS))
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Scans per step and GPU.", **ranged(Range(1, 4096)))] = None,
    dataset: DatasetFolder = None,
    spacing_mm: Annotated[float, typer.Option(help="Voxel size of the dataset in mm.", **ranged(SPACING_MM))] = 2.0,
    modalities: Annotated[int, typer.Option(help="Modalities per scan.", **ranged(Range(1, 100)))] = 1,
    device: DeviceName = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Estimate hours, memory and disk of a pretraining, from steps measured here or counted for a GPU."""
    from magpie_core.errors import InputError
    from magpie_core.networks.device import Device, choose_device, torch_threads
    from magpie_core.networks.presets import preset
    from magpie_core.pretraining.config import pretraining_preset
    from magpie_core.pretraining.cost_estimate import CostEstimate, StepCost, gpu
    from magpie_core.pretraining.step_benchmark import measure_step_cost

    config, _ = pretraining_preset(preset_name)
    batch_size = config.batch_size if batch_size is None else batch_size
    config = replace(config, view_size=view_size or config.view_size, batch_size=batch_size)
    is_here = gpu_name == "here"
    settings: dict[str, Any] = {"scans": scans, "spacing_mm": spacing_mm, "modalities": modalities}
    if dataset:
        settings |= _measured(dataset)
        settings["scans"] = scans or settings["scans"]
    if not settings["scans"]:
        raise InputError("The number of scans is unknown", remedy="Give --scans or --dataset")
    estimate = CostEstimate(
        StepCost(0, 0, 0, 0, 0, 0, 0, 0),
        epochs=epochs,
        gpus=gpus,
        batch_size=config.batch_size,
        gpu=None if is_here else gpu(gpu_name),
        **settings,
    )
    network_config = preset(network_name)
    chosen = choose_device(device)[0] if is_here else Device("cpu", "bf16")
    if is_here:
        print_message(f"Measuring some steps of {network_name} here ({chosen.name}, {chosen.precision})")
    with torch_threads(threads):
        cost = measure_step_cost(network_config, config, device=chosen, steps=2 if is_here else 0)
    estimate = replace(estimate, cost=cost)
    source = f"measured here ({chosen.name}, {chosen.precision})" if is_here else f"estimated for {gpu_name}"
    if as_json:
        print_json(_as_dict(estimate, network_name, preset_name, source))
    else:
        _print(estimate, network_name, preset_name, source)


def _as_dict(estimate: CostEstimate, network: str, preset: str, source: str) -> dict[str, Any]:
    from magpie_core.pretraining.cost_estimate import PAPER

    names = ("scans", "epochs", "gpus", "hours", "steps", "step_s", "all_reduce_s", "memory_gb", "disk_gb")
    return {
        "network": network,
        "preset": preset,
        "step": source,
        **{name: getattr(estimate, name) for name in names},
        "draw_s": estimate.batch_size * estimate.cost.draw_s,
        "preparation_hours": estimate.preparation_hours,
        "flops_per_scan": estimate.cost.flops,
        "parameters": estimate.cost.parameters,
        "paper": PAPER,
    }


def _print(estimate: CostEstimate, network: str, preset: str, source: str) -> None:
    from magpie_core.pretraining.cost_estimate import PAPER

    devices = ("computer like this" if estimate.gpu is None else "GPU") + ("" if estimate.gpus == 1 else "s")
    print_line(
        f"{network}, preset {preset}: {estimate.scans:,} scans, {estimate.epochs} epochs, "
        f"{estimate.gpus} {devices}, {estimate.batch_size} scans per step on each"
    )
    print_line(f"  time         {estimate.hours:,.1f} h: {estimate.steps:,} steps of {estimate.step_s:.3g} s, {source}")
    if estimate.gpu is not None:
        print_line("               an estimate from the GPU's data sheet: expect a factor of two or more")
    draw_hours = estimate.steps * estimate.batch_size * estimate.cost.draw_s / 3600
    print_line(f"  of that      {draw_hours:,.1f} h for drawing views on one CPU core, as fast as this one")
    too_large = ""
    if estimate.gpu is not None and estimate.memory_gb > estimate.gpu.memory_gb:
        too_large = f": more than the GPU's {estimate.gpu.memory_gb:g} GB; use a smaller --batch-size"
    print_line(f"  memory       {estimate.memory_gb:,.1f} GB on each{too_large}")
    print_line(f"  disk         {estimate.disk_gb:,.1f} GB for the prepared dataset")
    print_line(f"  preparation  {estimate.preparation_hours:,.1f} h in one process, once")
    print_line("  the paper    {hours:g} h on {gpus} GPUs for {scans:,} scans, {epochs} epochs".format(**PAPER))


def _measured(folder: Path) -> dict[str, Any]:
    """Return number, voxel size, bytes and preparation seconds of the scans of a prepared dataset."""
    from magpie_core.pretraining.dataset.dataset import INDEX, PretrainingDataset
    from magpie_core.pretraining.dataset.index import DatasetIndex

    whole = PretrainingDataset(folder, "all")
    ready = DatasetIndex(folder / INDEX).ready()
    if not len(whole) or not ready:
        return {"scans": 0}
    return {
        "scans": len(whole),
        "spacing_mm": whole.config.spacing_mm,
        "scan_bytes": sum(record.bytes for record in ready) / len(ready),
        "preparation_s": sum(record.seconds for record in ready) / len(ready),
    }
