"""Generator of synthetic studies with gliomas."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
import torch

from magpie_core.errors import InputError
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.canvas import Box, Canvas
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.glioma import Glioma, grow_glioma
from magpie_core.synthesis.phenotype import Phenotype
from magpie_core.synthesis.rendering import render
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.subject import Subject
from magpie_core.synthesis.synthetic_study import SyntheticStudy

_ATTEMPTS = 20
_MIN_TUMOR_ML = 0.4  # studies with less are grown again, unless their phenotype is "none"


class TumorTooSmallError(InputError):
    """No tumor of the minimum volume could be grown from a seed."""


def grid_shape(spacing_mm: float) -> tuple[int, int, int]:
    """Return the grid size for at least 176 x 208 x 184 mm, which holds any brain, in multiples of 8 voxels."""
    depth, height, width = (8 * math.ceil(length / spacing_mm / 8) for length in (176, 208, 184))
    return depth, height, width


@dataclass(eq=False)
class GliomaGenerator:
    """Generates synthetic studies, each a function of its seed alone.

    Args:
        spacing_mm: Isotropic voxel size.
        shape: (D, H, W) = world R, A, S; multiples of 4. By default 160 x 192 x 160 mm, which holds most brains.
        whole_head: Keep skull and face in the images; the grid should hold them.
        device: Device of the computation; studies are returned as arrays.

    Raises:
        InputError: If the grid cannot hold a brain.

    Note:
        Several processes are fastest with one thread each (`torch.set_num_threads(1)`) and with
        `torch.set_flush_denormal(True)`; both are left to the caller, because they apply to the whole process.
    """

    anatomy: Anatomy
    _: KW_ONLY
    config: GeneratorConfig = field(default_factory=GeneratorConfig.default)
    spacing_mm: float = 2.0
    shape: tuple[int, ...] = ()
    whole_head: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        valid = 0.5 <= self.spacing_mm <= 4.0
        if valid and not self.shape:
            self.shape = tuple(4 * round(length / self.spacing_mm) for length in (40, 48, 40))
        if not valid or len(self.shape) != 3 or any(n % 4 or n < 16 for n in self.shape):
            raise InputError(
                "Studies cannot be generated on this grid",
                cause=f"shape {self.shape} at {self.spacing_mm} mm",
                remedy="Use sizes that are multiples of 4, at least 16, and 0.5 to 4 mm",
            )

    @torch.no_grad()
    def sample(
        self, seed: int, renderings: int = 1, *, phenotype: Phenotype | str | None = None
    ) -> list[SyntheticStudy]:
        """Generate one brain and render it a number of times.

        Args:
            seed: The same seed gives the same studies, bit for bit on the same machine, whatever the number of
                renderings.
            renderings: Number of studies with the same geometry and labels, but different contrast and artifacts.
            phenotype: Drawn by the weights of the configuration if None.

        Raises:
            TumorTooSmallError: If no tumor reached the minimum volume; another seed may.
            InputError: If the configuration gives no brain on the grid, or images that are not finite.
        """
        glioma = self._grow(seed, None if phenotype is None else Phenotype(phenotype))
        return [self._render(glioma, seed, number) for number in range(renderings)]

    def _render(self, glioma: Glioma, seed: int, number: int) -> SyntheticStudy:
        part = glioma.canvas
        rng = Rng(seed, "rendering", number, device=self.device)
        images, labels, brain = render(
            Canvas(part.shape, part.spacing_mm, rng, part.center_mm),
            glioma,
            self.config.transforms,
            modalities=self.config.modalities,
            target=self.config.target,
            whole_head=self.whole_head,
        )
        if not bool(images.isfinite().all()):
            raise InputError(
                "The configuration gives images that are not finite",
                cause=f"seed {seed}",
                remedy="Check the values that differ most from the default configuration",
            )
        box, target = glioma.head_box, self.config.target
        return SyntheticStudy(
            images=self._on_whole_grid(images, box),
            labels=self._on_whole_grid(labels, box),
            brain=self._on_whole_grid(brain, box),
            spacing_mm=self.spacing_mm,
            phenotype=glioma.phenotype.value if target == "glioma" else target,
            seed=seed,
            modalities=self.config.modalities,
        )

    def _on_whole_grid(self, part: torch.Tensor, box: Box) -> np.ndarray:
        array = part.cpu().numpy()
        whole = np.zeros((*array.shape[:-3], *self.shape), array.dtype)
        whole[..., box[0], box[1], box[2]] = array
        return whole

    def _grow(self, seed: int, phenotype: Phenotype | None) -> Glioma:
        if self.config.target != "glioma":
            phenotype = Phenotype.NONE
        phenotypes = list(self.config.phenotypes)
        weights = torch.tensor([ranges.weight for ranges in self.config.phenotypes.values()])
        for attempt in range(_ATTEMPTS):
            rng = Rng(seed, "geometry", attempt, device=self.device)
            canvas = Canvas(self.shape, self.spacing_mm, rng)
            drawn = phenotype or phenotypes[rng.weighted_index(weights)]
            number = rng.randint(0, len(self.anatomy) - 1)
            head = self.anatomy.head(number, spacing_mm=self.spacing_mm, device=self.device)
            subject = Subject(canvas, head, self.config.transforms)
            ranges = self.config.phenotypes[drawn]
            glioma = grow_glioma(canvas, subject, drawn, ranges, self.config.transforms, whole_head=self.whole_head)
            tumor_ml = int((glioma.labels > 0).sum()) * self.spacing_mm**3 / 1000
            if drawn is Phenotype.NONE or tumor_ml >= _MIN_TUMOR_ML:
                return glioma
        raise TumorTooSmallError(
            "No tumor of the minimum volume could be grown",
            cause=f"{_ATTEMPTS} attempts ended below {_MIN_TUMOR_ML} ml",
            remedy="Use a grid that holds the whole brain",
        )
