"""Segment the glioma of one study."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.label_schema import Region
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.inference.enhancement import contrast_uptake
from magpie_core.inference.postprocessing import regions_to_labels
from magpie_core.inference.prediction import Prediction
from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.inference.sliding_window import PatchOptions, region_probabilities
from magpie_core.inference.volume_interval import volume_intervals
from magpie_core.models.model import Model
from magpie_core.networks.device import Device, choose_device, torch_threads
from magpie_core.preprocessing.coregistration import coregister
from magpie_core.preprocessing.modality_swap import check_modality_swap
from magpie_core.preprocessing.model_grid import prepare, to_native

Progress = Callable[[float, str], None]


def segment_study(
    study: Study,
    model: Model,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    brain_extraction: str | None = None,
    windows: PatchOptions | None = None,
    progress: Progress | None = None,
    capture: RoutingCapture | None = None,
) -> Prediction:
    """Find the regions of the glioma and bring them back to the native grid of the study's reference.

    Parameters
    ----------
    study
        As `read_study` gives and checks it; any subset of the modalities that the model knows. Modalities that are
        not aligned are, and the brain is found where the images show the whole head (`coregister`).
    device, precision
        See `choose_device`.
    threads
        Processor threads; None for torch's choice.
    brain_extraction
        See `coregister`.
    progress
        Called with the share done (0 to 1) and the stage in words; may raise Cancelled.
    capture
        Filled with what the routers decided; the prediction is the same with and without.

    Raises
    ------
    InputError
        If the study has a fault, cannot be aligned, or none of its modalities is known to the model.
    ResourceError
        If memory runs out.
    """
    tell = progress or (lambda share, stage: None)
    clock = _Clock()
    readable = [Modality(name) for name in model.network.config.modalities]
    known = [name for name in study.modalities if name in readable]
    if not known:
        raise InputError(
            "None of the study's modalities can be used by this model",
            cause=f"the study has {', '.join(name.label for name in study.modalities)}; "
            f"the model knows {', '.join(name.label for name in readable)}",
            source=study.name,
        )
    tell(0.0, "Preparing the images")
    ready = coregister(
        Study(
            {name: study.volumes[name] for name in study.modalities if name in (*known, study.reference)},
            study.name,
            study.warnings,
        ),
        brain_extraction=brain_extraction,
        threads=threads,
        progress=lambda share, stage: tell(0.2 * share, stage),
    )
    warnings = [*study.warnings, *ready.warnings]
    working = prepare(ready.study, spacing_mm=model.description.spacing_mm, brain=ready.brain)
    doubt = check_modality_swap(working)
    if doubt is not None:
        warnings.append(doubt.sentence)
    clock.lap("prepare")
    where, notes = choose_device(device, precision)
    warnings += notes
    images = working.images[[working.modalities.index(name) for name in known]]
    if capture is not None:
        capture.working = working

    def look(on: Device) -> np.ndarray:
        return region_probabilities(
            model.network,
            images,
            [name.value for name in known],
            on,
            windows or PatchOptions(),
            lambda share: tell(0.25 + 0.5 * share, "Looking for the tumor"),
            capture,
        )

    with torch_threads(threads):
        try:
            probabilities = look(where)
        except torch.OutOfMemoryError:
            if where.name == "cpu" or device != "auto":
                raise ResourceError(
                    "The memory of the graphics card is not enough",
                    remedy="Close other programs that use it, or choose the processor (CPU)",
                ) from None
            torch.cuda.empty_cache()
            warnings.append(
                "The graphics card ran out of memory, so the processor was used, which is slower."
            )
            where, _ = choose_device("cpu", precision)
            probabilities = look(where)
    clock.lap("network")
    tell(0.8, "Back to the original images")
    reference = ready.study.volumes[ready.study.reference]
    native = to_native(probabilities, working, reference.geometry)
    rules = model.description.postprocessing
    enhancing, tumor = (probabilities[index] > rules.thresholds[index] for index in (0, 2))
    uptake = contrast_uptake(working, enhancing, tumor)
    no_uptake = uptake is not None and uptake < rules.least_uptake
    if Modality.T1CE not in known or no_uptake:
        # Enhancement cannot be seen without contrast agent: what looks like it stays part of the core.
        rules = replace(rules, minimum_volume_ml=(math.inf, *rules.minimum_volume_ml[1:]))
    if no_uptake:
        warnings.append(
            "A part looks like enhancing tumor, but is hardly brighter on the T1ce than on the T1: it was counted "
            "as core that does not enhance."
        )
    labels = regions_to_labels(native, rules, voxel_volume_ml=reference.voxel_volume_ml)
    segmentation = Segmentation(labels, reference.affine, model.description.label_schema)
    intervals = {}
    if len(known) == len(readable):
        found_ml = {region: segmentation.volume_ml(region) for region in Region}
        intervals = volume_intervals(native, rules, found_ml, voxel_volume_ml=reference.voxel_volume_ml)
    clock.lap("to_native")
    if not labels.any():
        warnings.append("No tumor was found. That does not mean that there is none.")
    tell(1.0, "Done")
    return Prediction(
        segmentation=segmentation,
        probabilities=torch.from_numpy(native)
        .half()
        .numpy(),  # numpy's own conversion takes ten times as long
        reference=ready.study.reference,
        modalities_used=tuple(known),
        modalities_missing=tuple(name for name in readable if name not in known),
        warnings=tuple(dict.fromkeys(warnings)),
        device=where.name,
        precision=where.precision,
        seconds=clock.seconds,
        model_name=model.name,
        model_hash=model.hash,
        model_license=model.description.license,
        intervals_ml=intervals,
        doubt={} if doubt is None else dict(doubt.likely),
        ready=ready,
    )


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now
