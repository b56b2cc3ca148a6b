"""`magpie explain`: what each expert of the network responded to, and where its attention samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magpie_core.app.explain import ExplainRequest
from magpie_core.app.explain import explain as explain_study
from magpie_core.commands.options import (
    AsJson,
    BrainExtraction,
    BrainExtractionMethod,
    DeviceName,
    ModelName,
    Order,
    OrientationName,
    Overwrite,
    Precision,
    PrecisionName,
    Repair,
    Series,
    Threads,
    read_series,
)
from magpie_core.commands.output import print_json, print_line
from magpie_core.commands.progress import ProgressBar
from magpie_core.errors import InputError


def explain(
    study: Annotated[Path, typer.Argument(help="Folder with the images of one visit.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for maps, table and picture.")],
    reference: Annotated[
        Path | None, typer.Option(help="Reference segmentation to compare with; the model's own by default.")
    ] = None,
    reference_schema: Annotated[str | None, typer.Option(help="Label schema of --reference.")] = None,
    layer: Annotated[
        str,
        typer.Option(
            help="Mixture of experts: a number (the encoder's from 0, finest first, then the decoder's) or a name, "
            "'finest', or 'mean' of all."
        ),
    ] = "finest",
    on_template: Annotated[
        bool, typer.Option("--on-template", help="Also write all of it on the ICBM 152 template.")
    ] = False,
    attention_at: Annotated[
        str | None, typer.Option(metavar="R,A,S", help="Also write where the attention samples from this place, mm.")
    ] = None,
    order: Order = None,
    orientation: OrientationName = None,
    series: Series = None,
    repair: Repair = False,
    brain_extraction: BrainExtractionMethod = BrainExtraction.MAGPIE,
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = Precision.AUTO,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a map of each expert, how it agrees with the regions, and a picture of all."""
    request = ExplainRequest(
        images=study,
        order=order,
        orientation=orientation.value if orientation else None,
        repair=repair,
        series=read_series(series or []),
        output=out,
        overwrite=overwrite,
        reference=reference,
        reference_schema=reference_schema,
        layer=layer,
        on_template=on_template,
        attention_at=None if attention_at is None else _place(attention_at),
        model=model,
        device=device,
        precision=precision.value,
        threads=threads,
        brain_extraction=brain_extraction.value,
    )
    with ProgressBar(study.name, quiet=as_json) as bar:
        result = explain_study(request, progress=bar)
    if as_json:
        print_json(result.summary)
        return
    print_line(
        f"Nothing finer than {result.maps.token_mm:.0f} mm can be seen; overlap (IoU) of the best expert, in the "
        "tumor's bounding box, with"
    )
    for row in result.agreement:
        if row.where == "box":
            print_line(
                f"  {row.region:11} expert {row.expert}: {row.iou:.2f} "
                f"(chance level {row.chance_level:.2f}, upper bound about {row.upper_bound:.2f})"
            )
    for expert, region in result.names.items():
        print_line(f"Expert {expert + 1} may be named after {region}, by {result.summary['compared_with']}")
    print_line(f"Maps, table and picture are in {out}")


def _place(text: str) -> tuple[float, float, float]:
    """R,A,S in mm."""
    try:
        right, anterior, superior = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{text!r} is no place", remedy="Give three numbers, mm to the right, anterior, superior: -21,30,12"
        ) from None
    return right, anterior, superior
