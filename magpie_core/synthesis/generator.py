"""The generator of synthetic studies with gliomas."""

from __future__ import annotations

import numpy as np
import torch

from magpie_core.errors import InputError
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.glioma import Glioma, grow_glioma
from magpie_core.synthesis.phenotype import Phenotype
from magpie_core.synthesis.rendering import render
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.subject import Subject
from magpie_core.synthesis.synthetic_study import SyntheticStudy


class TooSmall(InputError):
    """No tumor of the least volume came of a seed."""


class GliomaGenerator:
    """Makes synthetic studies, each a function of its seed alone.

    Parameters
    ----------
    anatomy
        The heads to draw from.
    recipe
        What to draw; the default recipe if None.
    spacing_mm
        Isotropic voxel size.
    shape
        (D, H, W) = world R, A, S; multiples of 4. By default 160 x 192 x 160 mm, which holds most brains.
    least_tumor_ml
        Studies with less tumor are drawn anew, unless their kind is "none".
    whole_head
        Leave skull and face in the images; the grid should hold them.
    device
        Where studies are computed; they are given back as arrays.

    Raises
    ------
    InputError
        If the grid cannot hold a brain.

    Notes
    -----
    A run on busy cores is fastest with one thread per process (`torch.set_num_threads(1)`) and with
    `torch.set_flush_denormal(True)`; both are left to the caller, because they hold for the whole process.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        *,
        recipe: GeneratorConfig | None = None,
        spacing_mm: float = 2.0,
        shape: tuple[int, int, int] | None = None,
        least_tumor_ml: float = 0.4,
        whole_head: bool = False,
        device: str = "cpu",
    ) -> None:
        if shape is None and 0.5 <= spacing_mm <= 4.0:
            shape = (4 * round(40 / spacing_mm), 4 * round(48 / spacing_mm), 4 * round(40 / spacing_mm))
        if (
            shape is None
            or not 0.5 <= spacing_mm <= 4.0
            or len(shape) != 3
            or any(n % 4 or n < 16 for n in shape)
        ):
            raise InputError(
                "Studies cannot be made on this grid",
                cause=f"shape {shape} at {spacing_mm} mm",
                remedy="Use sizes that are multiples of 4, at least 16, and 0.5 to 4 mm",
            )
        self.anatomy = anatomy
        self.spacing_mm = float(spacing_mm)
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.least_tumor_ml = least_tumor_ml
        self.whole_head = whole_head
        self.recipe = recipe or GeneratorConfig.default()
        self.device = device

    @torch.no_grad()
    def sample(
        self, seed: int, renderings: int = 1, *, kind: Phenotype | str | None = None
    ) -> list[SyntheticStudy]:
        """Make one brain and image it a number of times.

        Parameters
        ----------
        seed
            The same seed gives the same studies, bit for bit on the same machine; a rendering does not depend
            on how many are asked for.
        renderings
            Number of studies that share the geometry and the labels, but not contrast and artifacts.
        kind
            What to grow; drawn by the recipes' weights if None.

        Raises
        ------
        TooSmall
            If no tumor reached the least volume; another seed's may.
        InputError
            If the recipe and the heads make no brain, or no images.
        """
        glioma = self._glioma(seed, None if kind is None else Phenotype(kind))
        studies = []
        for number in range(renderings):
            canvas = Canvas(
                glioma.canvas.shape,
                self.spacing_mm,
                Rng(seed, "rendering", number, device=self.device),
                middle_mm=glioma.canvas.middle_mm,
            )
            rendering = render(canvas, glioma, self.recipe, whole_head=self.whole_head)
            if not bool(rendering.images.isfinite().all()):
                raise InputError(
                    "The recipe makes images that are no numbers",
                    cause=f"seed {seed}",
                    remedy="Look for what differs from the usual recipe by a large factor",
                )
            images = np.zeros((len(rendering.images), *self.shape), np.float32)
            labels, brain = np.zeros(self.shape, np.uint8), np.zeros(self.shape, bool)
            images[:, glioma.place[0], glioma.place[1], glioma.place[2]] = rendering.images.cpu().numpy()
            labels[glioma.place] = rendering.labels.cpu().numpy()
            brain[glioma.place] = rendering.mask.cpu().numpy()
            studies.append(
                SyntheticStudy(
                    images=images,
                    labels=labels,
                    brain=brain,
                    spacing_mm=self.spacing_mm,
                    kind=glioma.kind.value if self.recipe.target == "glioma" else self.recipe.target,
                    seed=seed,
                    order=self.recipe.modalities,
                )
            )
        return studies

    def _glioma(self, seed: int, kind: Phenotype | None, *, attempts: int = 20) -> Glioma:
        if self.recipe.target != "glioma":
            kind = Phenotype.NONE
        for attempt in range(attempts):
            chance = Rng(seed, "geometry", attempt, device=self.device)
            canvas = Canvas(self.shape, self.spacing_mm, chance)
            wanted = kind or self._draw_kind(chance)
            number = chance.below(len(self.anatomy))
            head = self.anatomy.head(number, spacing_mm=self.spacing_mm, device=self.device)
            effects = self.recipe.effects
            subject = Subject(
                canvas,
                head,
                pose=effects.pose,
                bending=effects.bending,
                ventricles=effects.ventricle_change,
            )
            glioma = grow_glioma(canvas, subject, wanted, self.recipe, whole_head=self.whole_head)
            tumor_ml = int((glioma.labels > 0).sum()) * self.spacing_mm**3 / 1000
            if wanted is Phenotype.NONE or tumor_ml >= self.least_tumor_ml:
                return glioma
        raise TooSmall(
            "No tumor of the least volume could be grown",
            cause=f"{attempts} attempts ended below {self.least_tumor_ml} ml",
            remedy="Use a grid that holds the whole brain, or a smaller least volume",
        )

    def _draw_kind(self, chance: Rng) -> Phenotype:
        kinds = list(self.recipe.kinds)
        return kinds[chance.pick(torch.tensor([self.recipe.kinds[kind].weight for kind in kinds]))]
