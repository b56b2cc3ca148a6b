"""From images as a scanner gives them to what the network takes: modalities in one place, and a mask of the brain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.study_checks import on_one_grid, with_skull
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.brain_extraction_tools import extract_brain_with
from magpie_core.preprocessing.registration import Registration, register

_LEAST_SHARPNESS = 0.05
_LEAST_GAIN = 0.05
_MOVED_MM = 1.0
_AGREED_MM = 5.0
_FARTHEST_MM = 80.0
_PICTURE = "picture Alignment and brain (preparation.png)"


@dataclass(frozen=True, eq=False)
class CoregisteredStudy:
    """A study that the network can take.

    Attributes
    ----------
    study
        The modalities in the world of the reference: their numbers as stored, their affines moved.
    brain
        Mask of the brain; None where the images hold the brain alone.
    registrations
        How each modality was moved; empty if none was.
    warnings
        What was done, for the user.
    """

    study: Study
    brain: Volume | None = None
    registrations: Mapping[Modality, Registration] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return self.brain is not None or bool(self.registrations)

    def as_dict(self) -> dict[str, Any]:
        """For the report: what was aligned, by how much, and the brain's volume."""
        aligned = {
            modality.value: {
                "shift_mm": round(found.shift_mm, 2),
                "rotation_deg": round(found.rotation_deg, 2),
                "similarity": round(found.similarity, 3),
                "sharpness": round(found.sharpness, 3),
                "to_reference": np.round(found.matrix, 6).tolist(),
            }
            for modality, found in self.registrations.items()
        }
        brain_ml = None
        if self.brain is not None:
            brain_ml = round(float(np.count_nonzero(self.brain.data)) * self.brain.voxel_volume_ml, 1)
        return {"aligned": aligned, "brain_ml": brain_ml}


def coregister(
    study: Study,
    *,
    brain_extraction: str | None = None,
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> CoregisteredStudy:
    """Align the modalities of a study and find its brain, where that has not been done before.

    Images of the brain alone, all on one grid, are left as they are.

    Parameters
    ----------
    brain_extraction
        An installed program that finds the brain (`brain_tools.EXTERNAL_METHODS`); None for MAGPIE's own network.
    threads
        Processor threads; None for the libraries' choice.
    progress
        Called with the share done and the stage in words; may raise Cancelled.

    Raises
    ------
    InputError
        If a modality cannot be aligned with certainty, or no brain is found.
    ResourceError
        If SimpleITK or the brain tool is needed and not installed.
    """
    tell = progress or (lambda share, stage: None)
    whole_heads = with_skull(study)
    if not whole_heads and on_one_grid(study):
        return CoregisteredStudy(study)
    fixed = study.volumes[study.reference]
    volumes = {study.reference: fixed}
    registrations = {}
    others = [modality for modality in study.modalities if modality is not study.reference]
    warnings = []
    for done, modality in enumerate(others):
        tell(0.8 * done / len(others), f"Aligning the {modality.label}")
        volume = study.volumes[modality]
        found = register(volume, fixed, threads=threads)
        if whole_heads:
            _refuse_bad_fit(found, modality, study)
        elif found.sharpness < _LEAST_SHARPNESS or found.gain < _LEAST_GAIN:
            # Brains on different grids have mostly been aligned before; only a clear gain says otherwise.
            volumes[modality] = volume
            continue
        if found.agreement_mm > _AGREED_MM:
            warnings.append(
                f"How the {modality.label} lies to the {study.reference.label} is not certain: please look at the "
                f"{_PICTURE}."
            )
        registrations[modality] = found
        volumes[modality] = Volume(volume.data, found.matrix @ volume.affine, volume.source, volume.warnings)
    moved = [
        f"{modality.label} by {found.shift_mm:.1f} mm and {found.rotation_deg:.1f} degrees"
        for modality, found in registrations.items()
        if found.shift_mm > _MOVED_MM or found.rotation_deg > 1
    ]
    if moved:
        warnings.append(f"Aligned to the {study.reference.label}: {', '.join(moved)}.")
    aligned = Study(volumes, study.name, study.warnings)
    brain = None
    if whole_heads:
        tell(0.8, "Finding the brain")
        from magpie_core.preprocessing.brain_extraction import extract_brain

        shown = [aligned.volumes[study.reference]]
        shown += [aligned.volumes[s] for s in whole_heads if s is not study.reference]
        if brain_extraction:
            brain = extract_brain_with(brain_extraction, shown[0])
        else:
            found_brain = extract_brain(shown, threads=threads)
            brain = found_brain.mask
            if found_brain.doubtful:
                warnings.append(
                    "The brain could not be told with certainty from what surrounds it: the result is not reliable "
                    f"unless its outline in the {_PICTURE} is right."
                )
        warnings.append(
            "The images show the whole head: the brain was found automatically. Please look at its outline in the "
            f"{_PICTURE}."
        )
    tell(1.0, "Ready")
    return CoregisteredStudy(aligned, brain, registrations, tuple(warnings))


def _refuse_bad_fit(found: Registration, modality: Modality, study: Study) -> None:
    if found.sharpness >= _LEAST_SHARPNESS and found.shift_mm <= _FARTHEST_MM:
        return
    raise InputError(
        f"The {modality.label} could not be aligned with the {study.reference.label} with certainty",
        cause="the two images have too little in common",
        remedy="Check that both show the same head; leave the modality out, or align it yourself first",
        source=study.volumes[modality].source,
    )
