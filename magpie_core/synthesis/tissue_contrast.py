"""How bright each tissue is in each modality."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch

from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Range, Transform

# Median and standard deviation, relative to the scanner's scale; T1 with contrast starts from T1. DWI is the usual
# b = 1000 s/mm2; ADC is on a scale where free water (3e-3 mm2/s) is 1.
PRIORS = MappingProxyType(
    {
        "T1": {
            T.SULCAL_CSF: (0.22, 0.06),
            T.VENTRICLE: (0.17, 0.05),
            T.CORTEX: (0.52, 0.05),
            T.CEREBELLAR_CORTEX: (0.50, 0.05),
            T.WHITE_MATTER: (0.76, 0.05),
            T.CEREBELLAR_WHITE_MATTER: (0.73, 0.05),
            T.STRIATUM: (0.58, 0.04),
            T.PALLIDUM: (0.67, 0.05),
            T.THALAMUS: (0.63, 0.04),
            T.HIPPOCAMPUS: (0.54, 0.04),
            T.BRAINSTEM: (0.69, 0.05),
            T.SOFT_TISSUE: (0.5, 0.25),
            T.BONE: (0.15, 0.1),
            T.CHOROID_PLEXUS: (0.38, 0.08),
            T.WHITE_MATTER_LESION: (0.60, 0.06),
        },
        "T2": {
            T.SULCAL_CSF: (0.88, 0.10),
            T.VENTRICLE: (0.97, 0.07),
            T.CORTEX: (0.56, 0.05),
            T.CEREBELLAR_CORTEX: (0.53, 0.05),
            T.WHITE_MATTER: (0.40, 0.05),
            T.CEREBELLAR_WHITE_MATTER: (0.41, 0.05),
            T.STRIATUM: (0.48, 0.05),
            T.PALLIDUM: (0.35, 0.06),
            T.THALAMUS: (0.46, 0.05),
            T.HIPPOCAMPUS: (0.57, 0.05),
            T.BRAINSTEM: (0.43, 0.05),
            T.SOFT_TISSUE: (0.4, 0.2),
            T.BONE: (0.1, 0.1),
            T.CHOROID_PLEXUS: (0.80, 0.10),
            T.WHITE_MATTER_LESION: (0.62, 0.08),
        },
        "FLAIR": {
            T.SULCAL_CSF: (0.25, 0.08),
            T.VENTRICLE: (0.17, 0.07),
            T.CORTEX: (0.57, 0.05),
            T.CEREBELLAR_CORTEX: (0.53, 0.05),
            T.WHITE_MATTER: (0.46, 0.05),
            T.CEREBELLAR_WHITE_MATTER: (0.46, 0.05),
            T.STRIATUM: (0.52, 0.05),
            T.PALLIDUM: (0.44, 0.06),
            T.THALAMUS: (0.50, 0.05),
            T.HIPPOCAMPUS: (0.60, 0.05),
            T.BRAINSTEM: (0.48, 0.05),
            T.SOFT_TISSUE: (0.4, 0.2),
            T.BONE: (0.1, 0.1),
            T.CHOROID_PLEXUS: (0.45, 0.12),
            T.WHITE_MATTER_LESION: (0.70, 0.10),
        },
        "DWI": {
            T.SULCAL_CSF: (0.12, 0.04),
            T.VENTRICLE: (0.09, 0.03),
            T.CORTEX: (0.56, 0.06),
            T.CEREBELLAR_CORTEX: (0.53, 0.06),
            T.WHITE_MATTER: (0.48, 0.05),
            T.CEREBELLAR_WHITE_MATTER: (0.48, 0.05),
            T.STRIATUM: (0.47, 0.05),
            T.PALLIDUM: (0.36, 0.06),
            T.THALAMUS: (0.49, 0.05),
            T.HIPPOCAMPUS: (0.58, 0.06),
            T.BRAINSTEM: (0.52, 0.06),
            T.SOFT_TISSUE: (0.2, 0.1),
            T.BONE: (0.05, 0.04),
            T.CHOROID_PLEXUS: (0.35, 0.12),
            T.WHITE_MATTER_LESION: (0.50, 0.06),
        },
        "ADC": {
            T.SULCAL_CSF: (0.85, 0.08),
            T.VENTRICLE: (0.98, 0.05),
            T.CORTEX: (0.29, 0.02),
            T.CEREBELLAR_CORTEX: (0.27, 0.02),
            T.WHITE_MATTER: (0.25, 0.02),
            T.CEREBELLAR_WHITE_MATTER: (0.24, 0.02),
            T.STRIATUM: (0.25, 0.02),
            T.PALLIDUM: (0.25, 0.03),
            T.THALAMUS: (0.26, 0.02),
            T.HIPPOCAMPUS: (0.29, 0.02),
            T.BRAINSTEM: (0.24, 0.02),
            T.SOFT_TISSUE: (0.4, 0.15),
            T.BONE: (0.1, 0.08),
            T.CHOROID_PLEXUS: (0.55, 0.10),
            T.WHITE_MATTER_LESION: (0.36, 0.04),
        },
        "SWI": {
            T.SULCAL_CSF: (0.62, 0.08),
            T.VENTRICLE: (0.66, 0.08),
            T.CORTEX: (0.60, 0.05),
            T.CEREBELLAR_CORTEX: (0.57, 0.05),
            T.WHITE_MATTER: (0.55, 0.05),
            T.CEREBELLAR_WHITE_MATTER: (0.54, 0.05),
            T.STRIATUM: (0.48, 0.06),
            T.PALLIDUM: (0.33, 0.07),
            T.THALAMUS: (0.52, 0.05),
            T.HIPPOCAMPUS: (0.60, 0.05),
            T.BRAINSTEM: (0.52, 0.06),
            T.SOFT_TISSUE: (0.4, 0.2),
            T.BONE: (0.1, 0.08),
            T.CHOROID_PLEXUS: (0.42, 0.12),
            T.WHITE_MATTER_LESION: (0.58, 0.06),
        },
    }
)


@dataclass(frozen=True)
class TissueLevels:
    """Intensity of each of the 16 tissues in one image.

    Parameters
    ----------
    levels
        By class code; background is 0.
    arbitrary
        Whether the levels follow no real modality.
    """

    levels: tuple[float, ...]
    arbitrary: bool = False

    @property
    def gray(self) -> float:
        """Cortex."""
        return self.levels[T.CORTEX]

    @property
    def white(self) -> float:
        """Cerebral white matter."""
        return self.levels[T.WHITE_MATTER]

    @property
    def fluid(self) -> float:
        """Ventricle."""
        return self.levels[T.VENTRICLE]

    def paint(self, tissues: torch.Tensor) -> torch.Tensor:
        """Image (D, H, W) of tissue probabilities (16, D, H, W)."""
        levels = torch.tensor(self.levels, device=tissues.device)
        return (levels @ tissues.flatten(1)).view(tissues.shape[1:])


@dataclass(frozen=True, kw_only=True)
class TissueContrast(Transform):
    """How bright each tissue is: the usual contrast of a modality with jitter, at times fully random.

    Random contrast is what lets a network meet scanners it never saw (SynthSeg, Billot 2023).

    Parameters
    ----------
    jitter
        Factor on the priors' deviations, one draw for all modalities of a rendering.
    arbitrary
        Probability of fully random levels, for every modality but T1CE.
    same_scan
        Probability that T1CE has the levels of this study's T1.
    """

    jitter: Range = (0.6, 1.6)
    arbitrary: float = 0.07
    same_scan: float = 0.75

    def draw(
        self, chance: Rng, modality: str, *, jitter: float, plain: TissueLevels | None = None
    ) -> TissueLevels:
        """Levels of one modality; `plain` are those of the T1 of this study."""
        if modality != "T1CE" and chance.happens(self.arbitrary * self.probability):
            random = (chance.uniform(0.02, 1.0) for _ in range(len(T) - 1))
            return TissueLevels((0.0, *random), arbitrary=True)
        if (
            modality == "T1CE"
            and plain is not None
            and not plain.arbitrary
            and chance.happens(self.same_scan)
        ):
            return TissueLevels(
                (0.0, *(max(0.02, level + chance.normal(0.0, 0.015)) for level in plain.levels[1:]))
            )
        priors = PRIORS["T1" if modality == "T1CE" else modality]
        jitter = jitter if self.probability > 0 else 0.0
        drawn = {
            tissue: max(0.02, chance.normal(median, sd * jitter)) for tissue, (median, sd) in priors.items()
        }
        return TissueLevels(tuple(drawn.get(tissue, 0.0) for tissue in T))
