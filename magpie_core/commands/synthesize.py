"""`magpie synthesize`: synthetic studies with gliomas, with the truth beside them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magpie_core.commands.options import Anatomy, AsJson, DeviceName
from magpie_core.commands.output import emit_json, say, tell
from magpie_core.commands.progress import ProgressBar

if TYPE_CHECKING:
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.study import Study


def synthesize(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the studies.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many studies.")] = 1,
    anatomy: Anatomy = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first study; the next ones count on.")] = 0,
    spacing_mm: Annotated[float, typer.Option(min=0.5, max=4.0, help="Voxel size.")] = 2.0,
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", help="YAML file that says what to draw instead of the usual.")
    ] = None,
    show_recipe: Annotated[
        bool, typer.Option("--show-recipe", help="Print the whole recipe as YAML, and stop.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Also write one picture of all studies to this PNG file.")
    ] = None,
    device: DeviceName = "cpu",
    as_json: AsJson = False,
) -> None:
    """Make synthetic studies: OUT/synthetic-SEED/{t1,t1ce,t2,flair,seg}.nii.gz, or what the recipe says."""
    from magpie_core.errors import InputError
    from magpie_core.networks.device import choose_device
    from magpie_core.report.study_montage import draw_study_montage
    from magpie_core.synthesis.anatomy import Anatomy as LabelMaps
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.synthesis.generator import GliomaGenerator
    from magpie_core.synthesis.write_study import grid_shape, write_synthetic

    recipe = GeneratorConfig.default() if recipe_file is None else GeneratorConfig.read(recipe_file)
    if show_recipe:
        typer.echo(recipe.to_yaml(), nl=False)
        return
    if out is None:
        raise InputError("There is no folder for the studies", remedy="Name one with --out")
    place, notes = choose_device(device, "fp32")
    for note in notes:
        say(note)
    generator = GliomaGenerator(
        LabelMaps.find(anatomy),
        recipe=recipe,
        spacing_mm=spacing_mm,
        shape=grid_shape(spacing_mm),
        device=place.name,
    )
    folders = []
    with ProgressBar("Synthetic studies") as bar:

        def written() -> Iterator[tuple[Study, Segmentation, str]]:
            for number in range(seed, seed + count):
                bar((number - seed) / count, f"{number - seed + 1} of {count}")
                (sample,) = generator.sample(number)
                folders.append(write_synthetic(sample, out / f"synthetic-{number}"))
                yield sample.to_study(), sample.to_segmentation(), f"{number} {sample.kind}"

        studies = written()  # one at a time in memory
        if sheet is not None:
            draw_study_montage(studies, sheet, title="Synthetic studies.")
        deque(studies, maxlen=0)
        bar(1.0, "Done")
    if as_json:
        emit_json({"studies": [str(folder.resolve()) for folder in folders]})
    else:
        for folder in folders:
            tell(str(folder))
