"""How bright each tissue is in each sequence."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch

from magpie_core.synthesis.chance import Chance
from magpie_core.synthesis.tissue import HeadTissue as T

# Median and standard deviation, relative to the scanner's scale; T1 with contrast starts from T1.
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
        Whether the levels follow no real sequence.
    """

    levels: tuple[float, ...]
    arbitrary: bool = False

    @property
    def grey(self) -> float:
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
        return torch.tensordot(torch.tensor(self.levels), tissues, 1)


def draw_tissue_levels(
    chance: Chance,
    sequence: str,
    *,
    jitter: float,
    plain: TissueLevels | None = None,
    arbitrary: float = 0.07,
    same_scan: float = 0.75,
) -> TissueLevels:
    """Draw the tissue levels of one sequence.

    Parameters
    ----------
    jitter
        Factor on the priors' deviations.
    plain
        Levels of the T1 of this study, which T1CE resembles with probability `same_scan`.
    arbitrary
        Probability of fully random levels, for every sequence but T1CE.
    """
    if sequence != "T1CE" and chance.happens(arbitrary):
        return TissueLevels((0.0, *(chance.uniform(0.02, 1.0) for _ in range(len(T) - 1))), arbitrary=True)
    if sequence == "T1CE" and plain is not None and not plain.arbitrary and chance.happens(same_scan):
        return TissueLevels(
            (0.0, *(max(0.02, level + chance.normal(0.0, 0.015)) for level in plain.levels[1:]))
        )
    priors = PRIORS["T1" if sequence == "T1CE" else sequence]
    drawn = {tissue: max(0.02, chance.normal(median, sd * jitter)) for tissue, (median, sd) in priors.items()}
    return TissueLevels(tuple(drawn.get(tissue, 0.0) for tissue in T))
