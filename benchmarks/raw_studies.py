"""Raw studies made of aligned ones: how far off does the registration end, how good are brain mask and result?

    python benchmarks/raw_studies.py CASES/train --schema brats-2022 --anatomy FOLDER [--model MODEL] [--only N]

Each case is put into the skull and skin of a synthetic head; each modality is then moved by up to 15 mm and 15 degrees
and imaged again in slices of 3 to 5 mm. Registration error: mean distance over the brain between where a modality was
moved to and where it was brought back from. The result is compared with the reference on the T1ce grid, and with what
the same model finds in the aligned images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform, binary_closing, gaussian_filter

from magpie_core.evaluation.region_metrics import dice, evaluate_case
from magpie_core.imaging.background import content_mask
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.models.model import load_model
from magpie_core.models.registry import find_model
from magpie_core.preprocessing.mask_cleanup import main_parts
from magpie_core.preprocessing.prepared_study import prepare_study
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.tissue import PRIORS, HeadTissue
from magpie_core.synthesis.volume_operations import rotation_tensor

MARGIN_MM = 36
REGIONS = ("ET", "TC", "WT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", default="brats-2022")
    parser.add_argument("--anatomy", type=Path, required=True)
    parser.add_argument("--model", default="magpie-s-synthetic")
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-result", action="store_true", help="Registration and brain mask alone.")
    arguments = parser.parse_args()
    model = load_model(find_model(arguments.model))
    anatomy = Anatomy.find(arguments.anatomy)
    folders = sorted(path for path in arguments.cases.iterdir() if path.is_dir())[: arguments.only]
    errors: list[float] = []
    masks: list[float] = []
    seconds: list[float] = []
    raw_scores: list[dict[str, float]] = []
    aligned_scores: list[dict[str, float]] = []
    print("| case | T1 (mm) | T2 (mm) | FLAIR (mm) | brain mask | raw ET/TC/WT | aligned ET/TC/WT |")
    print("|---|---|---|---|---|---|---|")
    for number, folder in enumerate(folders):
        random = np.random.default_rng(number)
        study = read_study(folder)
        reference = read_segmentation(folder / "seg.nii.gz", schema=label_schema(arguments.schema))
        heads, brain = in_a_head(study, anatomy, random)
        raw, motions = moved_apart(heads, study.name, random)
        start = time.perf_counter()
        if arguments.no_result:
            prepared, prediction = prepare_study(raw, threads=arguments.threads), None
        else:
            prediction = segment_study(raw, model, threads=arguments.threads)
            prepared = prediction.prepared
        seconds.append(time.perf_counter() - start)
        points = brain_points(brain)
        # The T1ce moved too: errors are relative to it.
        own = [
            apart_mm(
                prepared.registrations[s].matrix,
                np.linalg.inv(motions[Modality.T1CE]) @ motions[s],
                np.linalg.inv(motions[s]),
                points,
            )
            for s in (Modality.T1, Modality.T2, Modality.FLAIR)
        ]
        errors += own
        masks.append(mask_dice(prepared.brain, brain, motions[Modality.T1CE]))
        cells = [folder.name, *(f"{error:.2f}" for error in own), f"{masks[-1]:.3f}"]
        if prediction is not None:
            found = prediction.segmentation
            there = reference_on(reference, raw.volumes[Modality.T1CE], motions[Modality.T1CE])
            raw_scores.append(dice_of(found, there))
            aligned_scores.append(
                dice_of(segment_study(study, model, threads=arguments.threads).segmentation, reference)
            )
            cells += [
                " ".join(f"{scores[region]:.2f}" for region in REGIONS)
                for scores in (raw_scores[-1], aligned_scores[-1])
            ]
        print(f"| {' | '.join(cells)} |", flush=True)
    print(
        f"\nRegistration error: median {statistics.median(errors):.2f} mm, "
        f"95th percentile {np.percentile(errors, 95):.2f} mm, worst {max(errors):.2f} mm"
    )
    print(f"Brain mask: mean Dice {statistics.mean(masks):.3f}, worst {min(masks):.3f}")
    print(f"Each study: median {statistics.median(seconds):.1f} s")
    if raw_scores:
        for name, scores in (("raw", raw_scores), ("aligned", aligned_scores)):
            means = [statistics.mean(case[region] for case in scores) for region in REGIONS]
            print(f"{name}: ET {means[0]:.3f} TC {means[1]:.3f} WT {means[2]:.3f}, mean {statistics.mean(means):.3f}")


def in_a_head(study: Study, anatomy: Anatomy, random: np.random.Generator) -> tuple[dict[Modality, Volume], Volume]:
    """The study's brain inside the skull and skin of one of the heads, at 1 mm, axes right, anterior, superior."""
    orders = {s: Reorientation.of(v.geometry) for s, v in study.volumes.items()}
    images = {s: np.pad(orders[s].apply(v.data).astype(np.float32), MARGIN_MM) for s, v in study.volumes.items()}
    affine = orders[study.reference].affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, MARGIN_MM)
    brain = np.zeros(next(iter(images.values())).shape, bool)
    for modality, volume in study.volumes.items():
        brain |= np.pad(orders[modality].apply(content_mask(volume.data)), MARGIN_MM)
    brain = main_parts(binary_closing(brain, iterations=3), largest=True)
    labels = anatomy.labels(int(random.integers(len(anatomy))))
    inside = (labels > 0) & (labels != HeadTissue.SOFT_TISSUE) & (labels != HeadTissue.BONE)
    placed = fitted(labels, inside, brain)
    outside_brain = (placed > 0) & (placed != HeadTissue.SOFT_TISSUE) & (placed != HeadTissue.BONE) & ~brain
    placed[outside_brain] = HeadTissue.SULCAL_CSF
    texture = gaussian_filter(random.standard_normal(brain.shape).astype(np.float32), 3) * 8
    heads = {}
    for modality, image in images.items():
        priors = PRIORS["T1" if modality is Modality.T1CE else modality.value]
        scale = np.median(image[brain & (image > 0)]) / priors[HeadTissue.CORTEX][0]
        skull = np.zeros(brain.shape, np.float32)
        for tissue in (HeadTissue.SULCAL_CSF, HeadTissue.SOFT_TISSUE, HeadTissue.BONE):
            level = max(0.03, random.normal(*priors[tissue]))
            skull[placed == tissue] = level
        skull *= (1 + random.uniform(0.1, 0.5) * texture).clip(0.2, 3) * scale
        whole = np.where(brain & (image > 0), image, skull)
        whole = np.hypot(
            whole + 0.02 * scale * random.standard_normal(whole.shape),
            0.02 * scale * random.standard_normal(whole.shape),
        )
        heads[modality] = Volume(whole.astype(np.float32), affine, modality.label)
    return heads, Volume(brain, affine)


def fitted(labels: np.ndarray, inside: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The label map stretched along each axis until its brain has the extent of the case's."""
    scales, shifts = [], []
    for axis in range(3):
        ends = []
        for mask in (inside, brain):
            shown = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
            ends.append((shown[0], shown[-1]))
        (a, b), (c, d) = ends
        scales.append((b - a + 1) / (d - c + 3))
        shifts.append((a + b) / 2 - scales[-1] * (c + d) / 2)
    return affine_transform(labels, np.array(scales), np.array(shifts), output_shape=brain.shape, order=0)


def moved_apart(
    heads: dict[Modality, Volume], name: str, random: np.random.Generator
) -> tuple[Study, dict[Modality, np.ndarray]]:
    """Each modality after a movement of its own, in thick slices; and the movements, scanner's -> head's world."""
    volumes, motions = {}, {}
    for modality, volume in heads.items():
        center = volume.affine[:3, :3] @ (np.array(volume.shape) / 2) + volume.affine[:3, 3]
        axis = random.standard_normal(3)
        axis *= np.radians(random.uniform(0, 15)) / np.linalg.norm(axis)
        shift = random.standard_normal(3)
        shift *= random.uniform(0, 15) / np.linalg.norm(shift)
        motion = np.eye(4)
        motion[:3, :3] = rotation_tensor(axis).double().numpy()
        motion[:3, 3] = center - motion[:3, :3] @ center + shift
        thickness, stack = int(random.integers(3, 6)), int(random.integers(3))
        volumes[modality] = imaged(volume, motion, thickness, stack)
        motions[modality] = motion
    return Study(volumes, name), motions


def imaged(volume: Volume, motion: np.ndarray, thickness_mm: int, stack: int) -> Volume:
    """The head as a scanner sees it that believes it unmoved: slices of a thickness along an axis."""
    shape = np.array(volume.shape)
    shape[stack] -= shape[stack] % thickness_mm
    to_source = np.linalg.inv(volume.affine) @ motion @ volume.affine
    fine = affine_transform(volume.data, to_source[:3, :3], to_source[:3, 3], output_shape=tuple(shape), order=1)
    grouped = np.moveaxis(fine, stack, 0).reshape(-1, thickness_mm, *np.delete(shape, stack)).mean(axis=1)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, stack] * (thickness_mm - 1) / 2
    affine[:3, stack] *= thickness_mm
    return Volume(np.ascontiguousarray(np.moveaxis(grouped, 0, stack)), affine, volume.source)


def brain_points(brain: Volume) -> np.ndarray:
    """Some of the brain's voxels (4, N) in the head's world."""
    index = np.argwhere(brain.data)[::997].T
    return brain.affine @ np.vstack([index, np.ones(index.shape[1])])


def apart_mm(found: np.ndarray, true: np.ndarray, to_moving: np.ndarray, points: np.ndarray) -> float:
    moving = to_moving @ points
    return float(np.linalg.norm(((found - true) @ moving)[:3], axis=0).mean())


def mask_dice(found: Volume | None, brain: Volume, motion: np.ndarray) -> float:
    assert found is not None
    to_source = np.linalg.inv(brain.affine) @ motion @ found.affine
    true = (
        affine_transform(
            brain.data.astype(np.float32), to_source[:3, :3], to_source[:3, 3], output_shape=found.shape, order=1
        )
        >= 0.5
    )
    return dice(found.data, true)


def reference_on(reference: Segmentation, target: Volume, motion: np.ndarray) -> Segmentation:
    """The reference on the moved, thick grid: each voxel takes the label that fills most of it."""
    labels = reference.schema.convert(reference.labels, label_schema("magpie"))
    to_source = np.linalg.inv(reference.affine) @ motion @ target.affine
    # A voxel's fraction of each label: averaged over the slice, along the target's thickest axis.
    stack = int(np.argmax(target.spacing_mm))
    steps = round(target.spacing_mm[stack])
    best = np.full(target.shape, -1.0, np.float32)
    chosen = np.zeros(target.shape, np.uint8)
    for label in range(4):
        fraction = np.zeros(target.shape, np.float32)
        for step in range(steps):
            offset = np.zeros(3)
            offset[stack] = (step - (steps - 1) / 2) / steps
            fraction += affine_transform(
                (labels == label).astype(np.float32),
                to_source[:3, :3],
                to_source[:3, :3] @ offset + to_source[:3, 3],
                output_shape=target.shape,
                order=1,
                cval=float(label == 0),
            )
        chosen[fraction > best] = label
        best = np.maximum(best, fraction)
    return Segmentation(chosen, target.affine, label_schema("magpie"))


def dice_of(found: Segmentation, reference: Segmentation) -> dict[str, float]:
    return {region: scores["dice"] for region, scores in evaluate_case(found, reference).items()}


if __name__ == "__main__":
    main()
