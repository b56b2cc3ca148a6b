"""How to read the segmentation of a case, and what in it is meant."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from magpie_core.imaging.modality import Modality

_YES = "allow_"


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Options of whatever adds cases with their segmentations to a cohort."""

    schema: Annotated[str | None, "Label schema, if neither the segmentation nor its data set says what it means."] = (
        None
    )
    override_schema: Annotated[bool, "Let --schema go before what the data say about the labels."] = False
    drawn_on: Annotated[
        Modality | None, "Image that the segmentation was drawn on, where several that lie apart have its grid."
    ] = None
    allow_empty: Annotated[bool, "Add a segmentation that is empty: there is no tumor."] = False
    allow_outside: Annotated[bool, "Add a segmentation that reaches outside of the brain."] = False
    allow_cavity: Annotated[bool, "Add a segmentation whose schema says that it has a resection cavity."] = False
    allow_swapped: Annotated[bool, "Add a segmentation whose necrosis lies around its edema."] = False

    @property
    def allowed(self) -> frozenset[str]:
        """Names of the questions that are answered with yes."""
        return frozenset(item.name for item in fields(self) if item.name.startswith(_YES) and getattr(self, item.name))
