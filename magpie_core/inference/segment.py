"""Segment a study: preprocessing, network, postprocessing, resampling to the native grid."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import torch

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.inference.postprocessing import contrast_uptake, regions_to_labels, volume_intervals
from magpie_core.inference.prediction import Prediction, RoutingCapture
from magpie_core.inference.sliding_window import PatchOptions, region_probabilities
from magpie_core.models.description import Postprocessing
from magpie_core.models.model import Model
from magpie_core.networks.device import Device, choose_device, torch_threads
from magpie_core.preprocessing.modality_check import check_modalities
from magpie_core.preprocessing.model_grid import ModelGridStudy, to_native
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.preprocessing.prepared_study import BUILT_IN_BRAIN_EXTRACTION, PreparedStudy
from magpie_core.progress import Progress, no_progress, part_of

_BOTH_SIDES = 0.2  # fraction of the tumor in the lesser hemisphere; more is rare in gliomas


def segment_study(
    study: Study,
    model: Model,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    brain_extraction: str = BUILT_IN_BRAIN_EXTRACTION,
    preparations: PreparationCache | None = None,
    patches: PatchOptions | None = None,
    progress: Progress = no_progress,
    capture: RoutingCapture | None = None,
) -> Prediction:
    """Segment the glioma's regions on the native grid of the study's reference.

    Args:
        study: Checked study, as `read_study` returns it, of any modalities.
        device, precision: See `choose_device`.
        threads, brain_extraction: See `prepare_study`.
        capture: Filled with the routing; the prediction is the same with and without.

    Raises:
        InputError: If the study cannot be preprocessed, or the model takes none of its modalities.
        ResourceError: If memory runs out.
    """
    times = [time.perf_counter()]
    progress(0.0, "Preparing the images")
    prepared = prepare_for(
        model,
        study,
        brain_extraction=brain_extraction,
        preparations=preparations,
        threads=threads,
        progress=part_of(progress, 0.0, 0.2),
    )
    grid = prepared.on_model_grid(model.description.spacing_mm)
    doubts = check_modalities(grid)
    times.append(time.perf_counter())
    used = [name for name in study.modalities if name in _known(model)]
    if capture is not None:
        capture.grid = grid
    probabilities, where, notes = _run_network(
        model, grid, used, device, precision, threads, patches, part_of(progress, 0.25, 0.75), capture
    )
    times.append(time.perf_counter())
    progress(0.8, "Resampling to the original grid")
    native = to_native(probabilities, grid, grid.native)
    rules, rule_notes = _rules(model.description.postprocessing, probabilities, grid, used)
    voxel_volume_ml = grid.native.voxel_volume_ml
    labels = regions_to_labels(native, rules, voxel_volume_ml=voxel_volume_ml)
    segmentation = Segmentation(labels, grid.native.affine, model.description.label_schema)
    intervals = {}
    if len(used) == len(_known(model)):
        found_ml = {region: segmentation.volume_ml(region) for region in Region}
        intervals = volume_intervals(native, rules, found_ml, voxel_volume_ml=voxel_volume_ml)
    times.append(time.perf_counter())
    warnings = [*study.warnings, *prepared.warnings, *(doubt.evidence for doubt in doubts), *notes, *rule_notes]
    if labels.any():
        warnings += _single_image(used, grid, probabilities[2] > rules.thresholds[2])
    else:
        warnings.append("No tumor was found. That does not mean that there is none.")
    progress(1.0, "Done")
    return Prediction(
        segmentation=segmentation,
        # numpy's own conversion takes ten times as long
        probabilities=torch.from_numpy(native).half().numpy(),
        reference=prepared.study.reference,
        modalities_used=tuple(used),
        modalities_missing=tuple(name for name in _known(model) if name not in used),
        warnings=tuple(dict.fromkeys(warnings)),
        device=where.name,
        precision=where.precision,
        seconds=dict(zip(("prepare", "network", "to_native"), np.diff(times).round(3).tolist(), strict=True)),
        model_name=model.name,
        model_hash=model.hash,
        model_license=model.description.license,
        intervals_ml=intervals,
        doubts=doubts,
        prepared=prepared,
    )


def prepare_for(
    model: Model,
    study: Study,
    *,
    brain_extraction: str = BUILT_IN_BRAIN_EXTRACTION,
    preparations: PreparationCache | None = None,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> PreparedStudy:
    """Preprocess the modalities that a model takes (InputError if none) and the reference, unless in the cache."""
    known = _known(model)
    if not set(known) & set(study.modalities):
        raise InputError(
            "None of the study's modalities can be used by this model",
            cause=f"the study has {', '.join(name.label for name in study.modalities)}; "
            f"the model takes {', '.join(name.label for name in known)}",
            source=study.name,
        )
    wanted = [name for name in study.modalities if name in known or name is study.reference]
    kept = Study({name: study.volumes[name] for name in wanted}, study.name, study.warnings)
    cache = preparations or PreparationCache(capacity=0)
    return cache.prepare(kept, brain_extraction=brain_extraction, threads=threads, progress=progress)


def _known(model: Model) -> list[Modality]:
    return [Modality(name) for name in model.network.config.modalities]


def _run_network(
    model: Model,
    grid: ModelGridStudy,
    used: list[Modality],
    device: str,
    precision: str,
    threads: int | None,
    patches: PatchOptions | None,
    progress: Progress,
    capture: RoutingCapture | None,
) -> tuple[np.ndarray, Device, list[str]]:
    """Return the probabilities (K, D, H, W) of the regions, the device that computed them, and warnings."""
    where, notes = choose_device(device, precision)
    fallback, _ = choose_device("cpu", precision)
    warnings = list(notes)
    images = grid.images[[grid.modalities.index(name) for name in used]]

    with torch_threads(threads):

        def forward(on: Device) -> np.ndarray:
            return region_probabilities(
                model.network,
                images,
                [name.value for name in used],
                on,
                patches or PatchOptions(),
                lambda fraction: progress(fraction, "Segmenting"),
                capture,
            )

        try:
            probabilities = forward(where)
        except where.failures as failure:
            out_of_memory = "out of memory" in str(failure)
            reason = "ran out of memory" if out_of_memory else "could not compute this"
            if where.name == "cpu" or device != "auto":
                raise ResourceError(
                    f"The GPU {reason}", remedy="Close other programs that use it, or choose the CPU"
                ) from failure
            torch.cuda.empty_cache()
            warnings.append(f"The GPU {reason}, so the CPU was used, which is slower.")
            where = fallback
            probabilities = forward(where)
    return probabilities, where, warnings


def _single_image(used: list[Modality], grid: ModelGridStudy, tumor: np.ndarray) -> list[str]:
    """Return warnings of a tumor (D, H, W) found on one image alone, where coil shading and variants look alike."""
    if len(used) > 1:
        return []
    other = "T2" if used[0] is Modality.FLAIR else "FLAIR"
    warnings = [
        f"A tumor was found on the {used[0].label} alone: whether it is one, and its volume, cannot be judged without "
        f"other modalities, such as a {other}."
    ]
    middle = round(float(np.median(np.nonzero(grid.brain)[0])))
    sides = np.count_nonzero(tumor[:middle]), np.count_nonzero(tumor[middle:])
    if min(sides) > _BOTH_SIDES * sum(sides):
        warnings.append("The whole tumor lies in both hemispheres, as the shading of a coil does: please look at it.")
    return warnings


def _rules(
    rules: Postprocessing, probabilities: np.ndarray, grid: ModelGridStudy, used: list[Modality]
) -> tuple[Postprocessing, list[str]]:
    """Return the model's rules and warnings; without visible enhancement, enhancing tumor becomes core."""
    enhancing, tumor = (probabilities[index] > rules.thresholds[index] for index in (0, 2))
    uptake = contrast_uptake(grid, enhancing, tumor)
    no_uptake = uptake is not None and uptake < rules.minimum_uptake_sd
    if Modality.T1CE not in used or no_uptake:
        rules = replace(rules, minimum_volume_ml=(math.inf, *rules.minimum_volume_ml[1:]))
    if not no_uptake:
        return rules, []
    return rules, [
        "A part looks like enhancing tumor, but is hardly brighter on the T1ce than on the T1: it was counted as "
        "non-enhancing core."
    ]
