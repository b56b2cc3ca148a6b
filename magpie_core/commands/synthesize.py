"""`magpie synthesize`: synthetic studies with gliomas and their reference segmentations."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magpie_core.commands.options import Anatomy, AsJson, DeviceName, ranged
from magpie_core.commands.output import print_json, print_line, print_message
from magpie_core.commands.progress import ProgressBar
from magpie_core.storage.ranges import SEED, SPACING_MM, Range

if TYPE_CHECKING:
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.study import Study


def synthesize(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the studies.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Number of studies.", **ranged(Range(1, 10**6)))] = 1,
    anatomy: Anatomy = None,
    seed: Annotated[
        int, typer.Option(help="Random seed of the first study; later studies count up.", **ranged(SEED))
    ] = 0,
    spacing_mm: Annotated[float, typer.Option(help="Voxel size, mm.", **ranged(SPACING_MM))] = 2.0,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="YAML file that overrides the default configuration.")
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the whole configuration as YAML, and stop.")
    ] = False,
    montage: Annotated[Path | None, typer.Option(help="PNG file for a montage of all studies (default: none).")] = None,
    device: DeviceName = "cpu",
    as_json: AsJson = False,
) -> None:
    """Generate synthetic studies: OUT/synthetic-SEED/{t1,t1ce,t2,flair,seg}.nii.gz, or the modalities configured."""
    from magpie_core.errors import InputError
    from magpie_core.networks.device import choose_device
    from magpie_core.report.study_montage import draw_study_montage
    from magpie_core.synthesis.anatomy import Anatomy as LabelMaps
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.synthesis.generator import GliomaGenerator, grid_shape
    from magpie_core.synthesis.synthetic_study import write_synthetic

    config = GeneratorConfig.default() if config_file is None else GeneratorConfig.read(config_file)
    if show_config:
        typer.echo(config.to_yaml(), nl=False)
        return
    if out is None:
        raise InputError("No output folder is given", remedy="Choose one with --out")
    place, notes = choose_device(device, "fp32")
    for note in notes:
        print_message(note)
    generator = GliomaGenerator(
        LabelMaps.find(anatomy), config=config, spacing_mm=spacing_mm, shape=grid_shape(spacing_mm), device=place.name
    )
    folders = []
    with ProgressBar("Synthetic studies") as bar:

        def written() -> Iterator[tuple[Study, Segmentation, str]]:
            for number in range(seed, seed + count):
                bar((number - seed) / count, f"{number - seed + 1} of {count}")
                (study,) = generator.sample(number)
                folders.append(write_synthetic(study, out / f"synthetic-{number}"))
                yield study.to_study(), study.to_segmentation(), f"{number} {study.phenotype}"

        studies = written()  # one at a time in memory
        if montage is not None:
            draw_study_montage(studies, montage, title="Synthetic studies.")
        deque(studies, maxlen=0)
        bar(1.0, "Done")
    if as_json:
        print_json({"studies": [str(folder.resolve()) for folder in folders]})
    else:
        for folder in folders:
            print_line(str(folder))
