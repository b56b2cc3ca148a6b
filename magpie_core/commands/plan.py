"""`magpie plan`: what a long training will take, before it is begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.commands.options import AsJson, DeviceName, Threads
from magpie_core.commands.output import emit_json, say, tell

app = typer.Typer(no_args_is_help=True, help="Reckon what a long training will take.")


@app.callback()
def plan() -> None:
    """Reckon what a long training will take."""


@app.command("pretraining")
def pretraining(
    scans: Annotated[int, typer.Option(help="Scans in the corpus; by default those of --corpus.")] = 0,
    gpus: Annotated[int, typer.Option(help="Graphics cards that work together.")] = 1,
    gpu_name: Annotated[
        str,
        typer.Option("--gpu", help="Kind of card, such as H200; 'here' takes some steps on this computer."),
    ] = "here",
    network_name: Annotated[str, typer.Option("--network", help="Which network to pretrain.")] = "magpie-s",
    preset_name: Annotated[str, typer.Option("--preset", help="magpie, paper or amaes.")] = "magpie",
    passes: Annotated[int, typer.Option(help="Times that each scan is seen.")] = 100,
    box: Annotated[
        tuple[int, int, int] | None, typer.Option(help="Size of a view in voxels (R, A, S).")
    ] = None,
    subjects: Annotated[int | None, typer.Option(help="Scans a step and card.")] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A prepared corpus, for scans, sizes and times as they are there.")
    ] = None,
    spacing_mm: Annotated[float, typer.Option(help="Voxel size of the corpus.")] = 2.0,
    modalities: Annotated[int, typer.Option(help="Modalities of a scan.")] = 1,
    device: DeviceName = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Reckon hours, memory and disk of a pretraining, from steps taken here or estimated for a kind of card."""
    from magpie_core.errors import InputError
    from magpie_core.networks.device import Device, choose_device, torch_threads
    from magpie_core.networks.presets import preset
    from magpie_core.pretraining.config import pretraining_preset
    from magpie_core.pretraining.cost_estimate import PretrainingPlan, StepWork, gpu
    from magpie_core.pretraining.step_benchmark import measure_pretraining

    recipe, _ = pretraining_preset(preset_name)
    recipe = replace(
        recipe, box=box or recipe.box, subjects=recipe.subjects if subjects is None else subjects
    )
    here = gpu_name == "here"
    card = None if here else gpu(gpu_name)
    known = _of_corpus(corpus) if corpus else {}
    scans = scans or known.pop("scans", 0)
    known.pop("scans", None)
    if not scans:
        raise InputError("It is not known how many scans there are", remedy="Give --scans or --corpus")
    nothing = StepWork(0, 0, 0, 0, 0, 0, 0, 0)
    reckoned = PretrainingPlan(
        nothing,
        scans,
        passes,
        gpus,
        recipe.subjects,
        card,
        **{"spacing_mm": spacing_mm, "modalities": modalities, **known},
    )
    config = preset(network_name)
    chosen = choose_device(device)[0] if here else Device("cpu", "bf16")
    if here:
        say(f"Taking some steps of {network_name} here ({chosen.name}, {chosen.precision})")
    with torch_threads(threads):
        work = measure_pretraining(config, recipe, device=chosen, steps=2 if here else 0)
    reckoned = replace(reckoned, work=work)
    where = f"measured here ({chosen.name}, {chosen.precision})" if here else f"estimated for {gpu_name}"
    if as_json:
        emit_json(_figures(reckoned, network_name, preset_name, where))
    else:
        _tell(reckoned, network_name, preset_name, where)


def _figures(plan: Any, network: str, preset: str, where: str) -> dict[str, Any]:
    from magpie_core.pretraining import cost_estimate as cost

    return {
        "network": network,
        "preset": preset,
        "step": where,
        "scans": plan.scans,
        "passes": plan.passes,
        "gpus": plan.gpus,
        "hours": plan.hours,
        "steps": plan.steps,
        "step_s": plan.step_s,
        "exchange_s": plan.exchange_s,
        "draw_s": plan.places * plan.work.draw_s,
        "memory_gb": plan.memory_gb,
        "disk_gb": plan.disk_gb,
        "preparation_hours": plan.preparation_hours,
        "flops_a_scan": plan.work.flops,
        "parameters": plan.work.parameters,
        "paper": {
            "hours": cost.PAPER_HOURS,
            "gpus": cost.PAPER_GPUS,
            "scans": cost.PAPER_SCANS,
            "passes": cost.PAPER_PASSES,
        },
    }


def _tell(plan: Any, network: str, preset: str, where: str) -> None:
    from magpie_core.pretraining import cost_estimate as cost

    computers = ("computer like this" if plan.gpu is None else "card") + ("" if plan.gpus == 1 else "s")
    tell(
        f"{network}, preset {preset}: {plan.scans:,} scans, {plan.passes} passes, {plan.gpus} {computers}, "
        f"{plan.places} scans a step and each"
    )
    tell(f"  time         {plan.hours:,.1f} h: {plan.steps:,} steps of {plan.step_s:.3g} s, {where}")
    if plan.gpu is not None:
        tell(
            "               an estimate from the card's data sheet: expect a factor of two or more either way"
        )
    views = plan.steps * plan.places * plan.work.draw_s / 3600
    tell(f"  of that      {views:,.1f} h in which one processor core, as fast as this one, draws the views")
    short = ""
    if plan.gpu is not None and plan.memory_gb > plan.gpu.memory_gb:
        short = f": more than the {plan.gpu.memory_gb:g} GB of the card; take fewer --subjects"
    tell(f"  memory       {plan.memory_gb:,.1f} GB each{short}")
    tell(f"  disk         {plan.disk_gb:,.1f} GB for the prepared corpus")
    tell(f"  preparation  {plan.preparation_hours:,.1f} h in one process, once")
    tell(
        f"  the paper    {cost.PAPER_HOURS:g} h on {cost.PAPER_GPUS} cards for {cost.PAPER_SCANS:,} scans, "
        f"{cost.PAPER_PASSES} passes"
    )


def _of_corpus(folder: Path) -> dict[str, Any]:
    """Scans, bytes and seconds as a prepared corpus has them."""
    from magpie_core.pretraining.dataset.dataset import INDEX, PretrainingDataset
    from magpie_core.pretraining.dataset.index import DatasetIndex

    whole = PretrainingDataset(folder, "all")
    ready = DatasetIndex(folder / INDEX).ready()
    if not len(whole) or not ready:
        return {"scans": 0}
    return {
        "scans": len(whole),
        "spacing_mm": whole.recipe.spacing_mm,
        "scan_bytes": sum(record.bytes for record in ready) / len(ready),
        "preparation_s": sum(record.seconds for record in ready) / len(ready),
    }
