"""The sixteen tissue classes of an anatomical label map."""

from __future__ import annotations

from enum import IntEnum


class HeadTissue(IntEnum):
    """Tissue classes of a label map; the value is also the channel of a probability map."""

    BACKGROUND = 0
    SULCAL_CSF = 1
    VENTRICLE = 2
    CORTEX = 3
    CEREBELLAR_CORTEX = 4
    WHITE_MATTER = 5
    CEREBELLAR_WHITE_MATTER = 6
    STRIATUM = 7
    PALLIDUM = 8
    THALAMUS = 9
    HIPPOCAMPUS = 10
    BRAINSTEM = 11
    SOFT_TISSUE = 12
    BONE = 13
    CHOROID_PLEXUS = 14
    WHITE_MATTER_LESION = 15
