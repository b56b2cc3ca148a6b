"""How unsure a prediction is where it matters."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from magpie_core.inference.prediction import Prediction
from magpie_core.study.label_schema import Region

SHELL_MM = 3.0


def tumour_uncertainty(prediction: Prediction) -> float:
    """Mean entropy of the regions' probabilities in the whole tumour and a shell of 3 mm around it, 0 to 1 (bits).

    A study without a tumour is as unsure as its least sure cubic centimetre.
    """
    probability = prediction.probabilities.astype(np.float32).clip(1e-4, 1 - 1e-4)
    entropy = -(probability * np.log2(probability) + (1 - probability) * np.log2(1 - probability)).mean(
        axis=0
    )
    tumour = prediction.segmentation.mask(Region.WT)
    if not tumour.any():
        count = max(1, round(1 / prediction.segmentation.geometry.voxel_volume_ml))
        return float(np.sort(entropy, axis=None)[-count:].mean())
    spacing_mm = prediction.segmentation.geometry.spacing_mm
    near = ndimage.distance_transform_edt(~tumour, sampling=spacing_mm) <= SHELL_MM
    return float(entropy[near].mean())
