"""Real raw studies: brain mask, tumor found, false tumor, and one visit aligned to another.

    python benchmarks/raw_cases.py CASES/raw [--model MODEL] [--pictures FOLDER]

`brainix` has a roughly drawn tumor; `open_ms_patient01` has none, in two visits. The edge overlap is the share of the
strongest edges of one image that lie within 1.5 mm of those of the other.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform, binary_erosion, distance_transform_edt, gaussian_gradient_magnitude, label

from magpie_core.evaluation.region_metrics import dice
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import read_volume
from magpie_core.models.model import load_model
from magpie_core.models.registry import find_model
from magpie_core.preprocessing.registration import register
from magpie_core.report.overview import draw_overview
from magpie_core.report.write import OVERVIEW, build_report, write_results

T1, T2, FLAIR = Modality.T1, Modality.T2, Modality.FLAIR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--pictures", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = load_model(find_model(arguments.model))
    ms = arguments.raw / "open_ms_patient01"
    studies = {
        "brainix": {s: arguments.raw / "brainix" / f"{s.value.lower()}.nii.gz" for s in (T1, T2, FLAIR)},
        **{
            f"open_ms visit {n}": {
                T1: ms / f"study{n}_T1W.nii.gz",
                T2: ms / f"study{n}_T2W.nii.gz",
                FLAIR: ms / f"study{n}_FLAIR.nii.gz",
            }
            for n in (1, 2)
        },
    }
    print("| study | seconds | moved at most (mm) | brain (ml) | parts | outside the head | whole tumor (ml) |")
    print("|---|---|---|---|---|---|---|")
    found = {}
    for name, files in studies.items():
        study = read_study(files, name=name)
        start = time.perf_counter()
        prediction = segment_study(study, model, threads=arguments.threads)
        seconds = time.perf_counter() - start
        found[name] = prediction.segmentation
        prepared, brain = prediction.prepared, prediction.prepared.brain
        assert brain is not None
        moved = max(found.shift_mm for found in prepared.registrations.values())
        cells = [
            name,
            f"{seconds:.0f}",
            f"{moved:.2f}",
            f"{np.count_nonzero(brain.data) * brain.voxel_volume_ml:.0f}",
            str(label(brain.data)[1]),
            f"{100 * outside_head(brain, study.volumes[T1]):.2f} %",
            f"{np.count_nonzero(prediction.segmentation.labels) * study.volumes[T1].voxel_volume_ml:.1f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        if arguments.pictures:
            folder = arguments.pictures / name.replace(" ", "_")
            write_results(build_report(study, prediction), prediction, folder, overwrite=True)
            draw_overview(prediction.prepared.study, prediction.segmentation, folder / OVERVIEW)
    roi = read_volume(arguments.raw / "brainix" / "roi.nii.gz")
    brainix = found["brainix"]
    placed = np.linalg.inv(roi.affine) @ brainix.affine
    drawn = affine_transform(roi.data > 0, placed[:3, :3], placed[:3, 3], output_shape=brainix.labels.shape, order=0)
    mask = brainix.labels > 0
    ml = abs(np.linalg.det(brainix.affine[:3, :3])) / 1000
    print(
        f"\nbrainix: {mask.sum() * ml:.1f} ml found, {drawn.sum() * ml:.1f} ml drawn, Dice {dice(mask, drawn):.3f}, "
        f"{100 * (mask & drawn).sum() / drawn.sum():.0f} % of the drawn covered"
    )
    first, second = (read_volume(studies[f"open_ms visit {n}"][T1]) for n in (1, 2))
    start = time.perf_counter()
    fit = register(second, first, threads=arguments.threads)
    seconds = time.perf_counter() - start
    aligned = Volume(second.data, fit.matrix @ second.affine)
    print(
        f"visit 2 to visit 1 (T1): moved {fit.shift_mm:.1f} mm and {fit.rotation_deg:.1f} degrees in {seconds:.0f} s; "
        f"edge overlap {edge_overlap(first, second):.2f} before, {edge_overlap(first, aligned):.2f} after"
    )


def outside_head(brain: Volume, image: Volume) -> float:
    """Share of the mask that lies in the air: where the head, its holes filled slice by slice, is not."""
    bright = image.data > 0.08 * np.percentile(image.data, 99)
    head = np.zeros(bright.shape, bool)
    for axis in range(3):
        ahead = np.maximum.accumulate(bright, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(bright, axis), axis=axis), axis)
        head |= ahead & behind
    placed = np.linalg.inv(image.affine) @ brain.affine
    index = np.argwhere(brain.data)[::7]
    at = np.round(index @ placed[:3, :3].T + placed[:3, 3]).astype(int)
    inside = ((at >= 0) & (at < image.shape)).all(axis=1)  # beyond the images nothing is known
    return float(1 - head[tuple(at[inside].T)].mean())


def edge_overlap(fixed: Volume, moving: Volume) -> float:
    placed = np.linalg.inv(moving.affine) @ fixed.affine
    there = affine_transform(moving.data, placed[:3, :3], placed[:3, 3], output_shape=fixed.shape, order=1)
    covered = binary_erosion(there > 0, iterations=2)
    edges = []
    for image in (fixed.data, there):
        strength = gaussian_gradient_magnitude(image, [1.0 / size for size in fixed.spacing_mm]) * covered
        edges.append(strength > np.percentile(strength[covered], 95))
    reach = [distance_transform_edt(~edge, sampling=fixed.spacing_mm) <= 1.5 for edge in edges]
    return float((reach[1][edges[0]].mean() + reach[0][edges[1]].mean()) / 2)


if __name__ == "__main__":
    main()
