"""The sixteen tissue classes of an anatomical label map, and their intensity in each modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import torch

from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.transform import Range, Transform


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


T = HeadTissue
# Median and standard deviation in T1, T2, FLAIR, DWI, ADC and SWI, relative to the scale of the scanner; T1CE starts
# from T1. DWI is the usual b = 1000 s/mm2; ADC is on a scale where free water (3e-3 mm2/s) is 1.
# fmt: off
_TABLE = {
    T.SULCAL_CSF: ((0.22, 0.06), (0.88, 0.10), (0.25, 0.08), (0.12, 0.04), (0.85, 0.08), (0.62, 0.08)),
    T.VENTRICLE: ((0.17, 0.05), (0.97, 0.07), (0.17, 0.07), (0.09, 0.03), (0.98, 0.05), (0.66, 0.08)),
    T.CORTEX: ((0.52, 0.05), (0.56, 0.05), (0.57, 0.05), (0.56, 0.06), (0.29, 0.02), (0.60, 0.05)),
    T.CEREBELLAR_CORTEX: ((0.50, 0.05), (0.53, 0.05), (0.53, 0.05), (0.53, 0.06), (0.27, 0.02), (0.57, 0.05)),
    T.WHITE_MATTER: ((0.76, 0.05), (0.40, 0.05), (0.46, 0.05), (0.48, 0.05), (0.25, 0.02), (0.55, 0.05)),
    T.CEREBELLAR_WHITE_MATTER: ((0.73, 0.05), (0.41, 0.05), (0.46, 0.05), (0.48, 0.05), (0.24, 0.02), (0.54, 0.05)),
    T.STRIATUM: ((0.58, 0.04), (0.48, 0.05), (0.52, 0.05), (0.47, 0.05), (0.25, 0.02), (0.48, 0.06)),
    T.PALLIDUM: ((0.67, 0.05), (0.35, 0.06), (0.44, 0.06), (0.36, 0.06), (0.25, 0.03), (0.33, 0.07)),
    T.THALAMUS: ((0.63, 0.04), (0.46, 0.05), (0.50, 0.05), (0.49, 0.05), (0.26, 0.02), (0.52, 0.05)),
    T.HIPPOCAMPUS: ((0.54, 0.04), (0.57, 0.05), (0.60, 0.05), (0.58, 0.06), (0.29, 0.02), (0.60, 0.05)),
    T.BRAINSTEM: ((0.69, 0.05), (0.43, 0.05), (0.48, 0.05), (0.52, 0.06), (0.24, 0.02), (0.52, 0.06)),
    T.SOFT_TISSUE: ((0.5, 0.25), (0.4, 0.2), (0.4, 0.2), (0.2, 0.1), (0.4, 0.15), (0.4, 0.2)),
    T.BONE: ((0.15, 0.1), (0.1, 0.1), (0.1, 0.1), (0.05, 0.04), (0.1, 0.08), (0.1, 0.08)),
    T.CHOROID_PLEXUS: ((0.38, 0.08), (0.80, 0.10), (0.45, 0.12), (0.35, 0.12), (0.55, 0.10), (0.42, 0.12)),
    T.WHITE_MATTER_LESION: ((0.60, 0.06), (0.62, 0.08), (0.70, 0.10), (0.50, 0.06), (0.36, 0.04), (0.58, 0.06)),
}
# fmt: on
PRIORS: Mapping[str, Mapping[T, tuple[float, float]]] = {
    modality: {tissue: row[column] for tissue, row in _TABLE.items()}
    for column, modality in enumerate(("T1", "T2", "FLAIR", "DWI", "ADC", "SWI"))
}


@dataclass(frozen=True)
class TissueLevels:
    """Intensity of each of the 16 tissues in one image.

    Args:
        levels: By class code; background is 0.
        arbitrary: Whether the levels are random and follow no real modality.
    """

    levels: tuple[float, ...]
    arbitrary: bool = False

    @property
    def gray(self) -> float:
        """Level of cortex."""
        return self.levels[T.CORTEX]

    @property
    def white(self) -> float:
        """Level of cerebral white matter."""
        return self.levels[T.WHITE_MATTER]

    @property
    def fluid(self) -> float:
        """Level of the ventricles."""
        return self.levels[T.VENTRICLE]

    def render(self, tissues: torch.Tensor) -> torch.Tensor:
        """Return an image (D, H, W) of tissue probabilities (16, D, H, W)."""
        levels = torch.tensor(self.levels, device=tissues.device)
        return (levels @ tissues.flatten(1)).view(tissues.shape[1:])


@dataclass(frozen=True, kw_only=True)
class TissueContrast(Transform):
    """Tissue intensities: the usual contrast of a modality with jitter, at times fully random.

    Random contrast makes a network robust to scanners it was not trained on (SynthSeg, Billot 2023).

    Args:
        jitter: Factor on the priors' deviations, drawn once for all modalities of a rendering.
        arbitrary: Probability of fully random levels, for every modality but T1CE.
        same_scan: Probability that T1CE has the levels of this study's T1.
    """

    jitter: Range = (0.6, 1.6)
    arbitrary: float = 0.07
    same_scan: float = 0.75

    def draw(self, rng: Rng, modality: str, *, jitter: float, t1: TissueLevels | None = None) -> TissueLevels:
        """Draw the levels of one modality; `t1` are those of this study's T1."""
        if modality != "T1CE" and rng.bernoulli(self.arbitrary * self.probability):
            random = (rng.uniform(0.02, 1.0) for _ in range(len(T) - 1))
            return TissueLevels((0.0, *random), arbitrary=True)
        if modality == "T1CE" and t1 is not None and not t1.arbitrary and rng.bernoulli(self.same_scan):
            return TissueLevels((0.0, *(max(0.02, level + rng.normal(0.0, 0.015)) for level in t1.levels[1:])))
        priors = PRIORS["T1" if modality == "T1CE" else modality]
        jitter = jitter if self.probability > 0 else 0.0
        drawn = {tissue: max(0.02, rng.normal(median, sd * jitter)) for tissue, (median, sd) in priors.items()}
        return TissueLevels(tuple(drawn.get(tissue, 0.0) for tissue in T))
