"""What is asked of an explanation, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from magpie_core.app.requests import ComputeRequest

if TYPE_CHECKING:
    from magpie_core.experts.agreement import Agreement
    from magpie_core.experts.attention import AttentionPoint
    from magpie_core.experts.expert_maps import ExpertMaps
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.inference.prediction import Prediction
    from magpie_core.preprocessing.template_registration import TemplateAlignment


@dataclass(frozen=True, kw_only=True)
class ExplainRequest(ComputeRequest):
    """A study whose experts are to be shown.

    Attributes:
        output: Folder for maps, tables and pictures; None to write none.
        maps_only: Write nothing but the maps, uncompressed, for a viewer that reads them at once.
        template: Register the study to the ICBM 152 template; why that failed is in the result.
        attention_at: Place (right, anterior, superior) in mm whose attention is wanted too.
    """

    output: Path | None = None
    maps_only: bool = False
    template: bool = False
    attention_at: tuple[float, float, float] | None = None
    reference: Annotated[
        Path | None, "Segmentation to compare with, on the grid of the study's reference (default: the model's own)."
    ] = None
    reference_schema: Annotated[str | None, "Label schema of the segmentation to compare with."] = None
    layer: Annotated[
        str,
        "Mixture of experts: a number (the encoder's from 0, finest first, then the decoder's) or a name, 'finest', or "
        "'mean' of all.",
    ] = "finest"
    on_template: Annotated[bool, "Also write all of it on the ICBM 152 template."] = False
    overwrite: Annotated[bool, "Replace an earlier result."] = False


@dataclass(frozen=True, eq=False)
class ExplainResult:
    """What the experts did.

    Attributes:
        reference: What the experts are compared with.
        maps: Where each expert was routed to, on the grid of the study's reference.
        agreement: A row for each region and mask: how well its best expert agrees with it.
        layers, layer: Names of all mixtures of experts; number of the one shown, or "mean".
        names: Region that an expert (from 0) may be named after.
        alignment, no_template: Where the study lies in the template, or why that is not known; neither if it was not
            asked for.
        attention, no_attention: Sampling points from the place asked for; why the model has none to show, else "".
        summary: Plain values: what agreement.json holds.
    """

    prediction: Prediction
    reference: Segmentation
    maps: ExpertMaps
    agreement: tuple[Agreement, ...]
    layers: tuple[str, ...]
    layer: int | Literal["mean"]
    names: Mapping[int, str]
    alignment: TemplateAlignment | None
    no_template: str
    attention: tuple[AttentionPoint, ...]
    no_attention: str
    files: Mapping[str, Path | list[Path]]
    summary: Mapping[str, Any]
