"""How unsure a prediction is where it matters."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from magpie_core.imaging.glioma import Region
from magpie_core.inference.prediction import Prediction
from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.preprocessing.model_grid import to_native

SHELL_MM = 3.0


def tumor_uncertainty(prediction: Prediction, capture: RoutingCapture | None = None) -> float:
    """How unsure the model is in the whole tumor and a shell of 3 mm around it, 0 to 1.

    The mean of the regions' entropy (bits) and, with `capture`, of the experts' disagreement: the entropy of whom the
    routers asked, as a share of the greatest possible. A study without a tumor is as unsure as its least sure cubic
    centimeter.
    """
    probability = prediction.probabilities.astype(np.float32).clip(1e-4, 1 - 1e-4)
    entropy = -(probability * np.log2(probability) + (1 - probability) * np.log2(1 - probability)).mean(axis=0)
    tumor = prediction.segmentation.mask(Region.WT)
    if not tumor.any():
        count = max(1, round(1 / prediction.segmentation.geometry.voxel_volume_ml))
        return float(np.sort(entropy, axis=None)[-count:].mean())
    spacing_mm = prediction.segmentation.geometry.spacing_mm
    near = ndimage.distance_transform_edt(~tumor, sampling=spacing_mm) <= SHELL_MM
    unsure = float(entropy[near].mean())
    if capture is None or not capture.layers or capture.working is None:
        return unsure
    return (unsure + expert_disagreement(capture, near)) / 2


def expert_disagreement(capture: RoutingCapture, where: np.ndarray) -> float:
    """Mean entropy of the routers' choice of experts, 0 to 1, in the voxels `where` (I, J, K) of the native grid."""
    assert capture.working is not None
    layers = []
    for layer, stride in zip(capture.layers, capture.strides, strict=True):
        surprise = -(layer * np.log(layer.clip(1e-20))).sum(axis=0) / np.log(max(len(layer), 2))
        fine = surprise.repeat(stride, 0).repeat(stride, 1).repeat(stride, 2)
        depth, height, width = capture.working.brain.shape
        native = to_native(fine[None, :depth, :height, :width].astype(np.float32), capture.working)[0]
        layers.append(float(native[where].mean()))
    return float(np.mean(layers))
