"""An explained study on the template."""

from __future__ import annotations

import numpy as np

from magpie_core.experts.explain import Explanation
from magpie_core.imaging.label_schema import Region
from magpie_core.imaging.modality import Modality
from magpie_core.preprocessing.template_registration import TemplateAlignment, align_to_template


def align_explained(explained: Explanation, *, threads: int | None = None) -> TemplateAlignment:
    """Lay an explained study on the ICBM 152 template: by its T1 where that has the reference's grid, else by that.

    Raises
    ------
    InputError, ResourceError
        As `align_to_template`.
    """
    ready = explained.prediction.ready
    reference = ready.study.volumes[ready.study.reference]
    image = ready.study.volumes.get(Modality.T1, reference)
    if not image.geometry.matches(reference.geometry):
        image = reference
    return align_to_template(
        image,
        brain=np.asarray(explained.maps.values.any(axis=0)),
        tumor=explained.prediction.segmentation.mask(Region.WT),
        threads=threads,
    )
