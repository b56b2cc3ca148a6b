"""`magpie explain`: what each expert of the network responded to, and where its attention samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.app.explain import ExplainRequest, explain as explain_study
from magpie_core.commands.options import AsJson, File, Series, options_of, read_series, study_images
from magpie_core.commands.output import print_json, print_line, print_model
from magpie_core.commands.progress import ProgressBar
from magpie_core.errors import InputError


@options_of(ExplainRequest)
def explain(
    output: Annotated[Path, typer.Option("--out", "-o", help="Folder for maps, table and picture.")],
    study: Annotated[Path | None, typer.Argument(help="Folder with the images of one visit.")] = None,
    t1: File = None,
    t1ce: File = None,
    t2: File = None,
    flair: File = None,
    attention_at: Annotated[
        str | None, typer.Option(metavar="R,A,S", help="Also write where the attention samples from this place, mm.")
    ] = None,
    series: Series = None,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Write a map of each expert, how it agrees with the regions, and a picture of all."""
    place = None if attention_at is None else _place(attention_at)
    order = options.get("order")
    images = study_images([study] if study else [], series, order=order, t1=t1, t1ce=t1ce, t2=t2, flair=flair)
    request = ExplainRequest(images=images, output=output, attention_at=place, series=read_series(series), **options)
    print_model(request.model, as_json=as_json)
    with ProgressBar((study or output).name, quiet=as_json) as bar:
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
                f"  {row.region:11} expert {row.expert + 1}: {row.iou:.2f} "
                f"(chance level {row.chance_level:.2f}, upper bound about {row.upper_bound:.2f})"
            )
    for expert, region in result.names.items():
        print_line(f"Expert {expert + 1} may be named after {region}, by {result.summary['compared_with']}")
    print_line(f"Maps, table and picture are in {output}")


def _place(text: str) -> tuple[float, float, float]:
    """R,A,S in mm."""
    try:
        right, anterior, superior = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{text!r} is no place", remedy="Give three numbers, mm to the right, anterior, superior: -21,30,12"
        ) from None
    return right, anterior, superior
