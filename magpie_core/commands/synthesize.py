"""`magpie synthesize`: synthetic studies with gliomas, with the truth beside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magpie_core.commands.options import Anatomy, AsJson
from magpie_core.commands.output import emit_json, tell
from magpie_core.commands.progress import ProgressBar

if TYPE_CHECKING:
    from magpie_core.synthesis.anatomy import Anatomy as LabelMaps
    from magpie_core.synthesis.synthetic_study import SyntheticStudy


def synthesize(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the studies.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many studies.")] = 1,
    anatomy: Anatomy = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first study; the next ones count on.")] = 0,
    spacing_mm: Annotated[float, typer.Option(min=0.5, max=4.0, help="Voxel size.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Make synthetic studies: OUT/synthetic-SEED/{t1,t1ce,t2,flair,seg}.nii.gz."""
    from magpie_core.synthesis.generator import GliomaGenerator

    generator = GliomaGenerator(find_anatomy(anatomy), spacing_mm=spacing_mm, shape=grid_shape(spacing_mm))
    folders = []
    with ProgressBar("Synthetic studies") as bar:
        for index in range(count):
            bar(index / count, f"{index + 1} of {count}")
            (sample,) = generator.sample(seed + index)
            folders.append(write_synthetic(sample, out / f"synthetic-{seed + index}"))
        bar(1.0, "Done")
    if as_json:
        emit_json({"studies": [str(folder.resolve()) for folder in folders]})
    else:
        for folder in folders:
            tell(str(folder))


def find_anatomy(folder: Path | None) -> LabelMaps:
    """Label maps of a folder, or those that come with an installed package."""
    from magpie_core.synthesis.anatomy import Anatomy as LabelMaps

    return LabelMaps.fallback() if folder is None else LabelMaps.from_folder(folder)


def write_synthetic(sample: SyntheticStudy, folder: Path) -> Path:
    """Write a study's sequences and its truth (`seg`, with the label schema beside it), return the folder."""
    from magpie_core.study.nifti import write_volume
    from magpie_core.study.segmentation import write_segmentation

    folder.mkdir(parents=True, exist_ok=True)
    for sequence, volume in sample.to_study().volumes.items():
        write_volume(volume, folder / f"{sequence.value.lower()}.nii.gz")
    write_segmentation(sample.to_segmentation(), folder / "seg.nii.gz")
    return folder


def grid_shape(spacing_mm: float) -> tuple[int, int, int]:
    """Voxels of a box of at least 176 x 208 x 184 mm, which holds any brain, as multiples of 8."""
    sizes = [8 * math.ceil(length / spacing_mm / 8) for length in (176, 208, 184)]
    return (sizes[0], sizes[1], sizes[2])
