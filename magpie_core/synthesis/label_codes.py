"""Conversion of FreeSurfer's and SynthSeg's label maps to tissue classes."""

from __future__ import annotations

import numpy as np

from magpie_core.synthesis.tissue import HeadTissue as T

# Codes of FreeSurfer's color table (aseg, aparc+aseg, wmparc), and those that SynthSeg's training maps add to it.
_CODES: dict[T, tuple[int, ...]] = {
    T.SULCAL_CSF: (24, 257, 122, 72),
    T.VENTRICLE: (4, 5, 14, 15, 43, 44, 213, 221),
    T.CORTEX: (3, 42, 19, 20, 55, 56),
    T.CEREBELLAR_CORTEX: (8, 47, 6, 45, 172),
    T.WHITE_MATTER: (2, 41, 85, 250, 251, 252, 253, 254, 255, 192),
    T.CEREBELLAR_WHITE_MATTER: (7, 46),
    T.STRIATUM: (11, 12, 26, 50, 51, 58),
    T.PALLIDUM: (13, 52),
    T.THALAMUS: (9, 10, 28, 48, 49, 60),
    T.HIPPOCAMPUS: (17, 18, 53, 54),
    T.BRAINSTEM: (16, 170, 173, 174, 175, 178),
    T.SOFT_TISSUE: (118, 119, 120, 121, 131, 258, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530),
    T.BONE: (165, 259),
    T.CHOROID_PLEXUS: (31, 63),
    T.WHITE_MATTER_LESION: (77, 78, 79, 80, 81, 82),
}
_PARCELS = (
    (1000, 1100, T.CORTEX),
    (2000, 2100, T.CORTEX),
    (11100, 11200, T.CORTEX),
    (12100, 12200, T.CORTEX),
    (3000, 3100, T.WHITE_MATTER),
    (4000, 4100, T.WHITE_MATTER),
    (5001, 5003, T.WHITE_MATTER),
)
_MIN_KNOWN_FRACTION = 0.98


def to_tissues(labels: np.ndarray) -> np.ndarray | None:
    """Convert a label map (D, H, W) to HeadTissue, uint8; vessels and unknown labels become cerebrospinal fluid.

    Maps with values of HeadTissue only are returned unchanged; others are read as FreeSurfer's or SynthSeg's codes.
    Returns None if more than 2 % of the labeled voxels have unknown codes.
    """
    if labels.max() < len(T):
        # FreeSurfer's codes go beyond these in every head: the right hemisphere begins at 41.
        return labels.astype(np.uint8)
    values, inverse = np.unique(labels, return_inverse=True)
    known = {code: tissue for tissue, codes in _CODES.items() for code in codes}
    table = np.zeros(len(values), np.uint8)
    found = np.zeros(len(values), bool)
    for index, value in enumerate(values.tolist()):
        tissue = known.get(int(value))
        for first, stop, parcel in _PARCELS:
            if first <= value < stop:
                tissue = parcel
        found[index] = value == 0 or tissue is not None
        table[index] = T.SULCAL_CSF if tissue is None and value else tissue or 0
    inverse = inverse.reshape(labels.shape)
    labeled = labels != 0
    if not labeled.any() or found[inverse[labeled]].mean() < _MIN_KNOWN_FRACTION:
        return None
    return table[inverse]
