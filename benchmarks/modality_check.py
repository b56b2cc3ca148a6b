"""Are images that are not what they are said to be noticed? Exchanged modalities, a T1 given as T1CE, false alarms.

python benchmarks/modality_check.py [CASES ...] [--synthetic FOLDER --anatomy FOLDER] [--fit FILE]

CASES are folders of skull-stripped studies with all four modalities. --synthetic is a folder for synthetic studies,
which are generated there unless it has them; the last ones are kept apart and scored. --fit fits the rules to the
others and writes them (magpie_core/preprocessing/modality_check.json). Every number follows from the seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from scipy.optimize import minimize

from magpie_core.imaging.background import bounding_box
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.io.discovery import read_study
from magpie_core.preprocessing.contrast_features import CoarseStudy
from magpie_core.preprocessing.intensities import scale_intensities
from magpie_core.preprocessing.modality_check import Rules, check_modalities, default_rules, pair_features
from magpie_core.preprocessing.model_grid import ModelGridStudy, resample_to_model_grid
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.generator import GliomaGenerator

T1, T1CE, T2, FLAIR = GLIOMA_MODALITIES
FITTED, KEPT_APART = 120, 10
PENALTY, PAIR_PENALTY = 0.001, 0.03
_RENDERED = ("T1", "T1CE", "T2", "FLAIR", "T1", "T1CE")  # the last two: another protocol on the same day


@dataclass(frozen=True, eq=False)
class Case:
    """Images (D, H, W) scaled within the brain by name: the modalities, and for synthetic studies T1 and T1CE again."""

    images: dict[str, np.ndarray]
    brain: np.ndarray
    spacing_mm: float
    seed: int

    def grid(self, **declared: np.ndarray) -> ModelGridStudy:
        """Return a study of declared images."""
        modalities = tuple(Modality(name) for name in declared)
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        geometry = Geometry(self.brain.shape, affine)
        return ModelGridStudy(np.stack(list(declared.values())), modalities, self.brain, affine, geometry)

    def again(self, name: str, number: int = 0) -> np.ndarray:
        """Return an image as if acquired or exported again: resolution, noise, gray values, bit depth."""
        rng = np.random.default_rng((self.seed, number))
        return acquired_again(self.images[name], self.brain, self.spacing_mm, rng)


def acquired_again(image: np.ndarray, brain: np.ndarray, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Change resolution, noise, gray values and bit depth of an image (D, H, W), each or not."""
    inside = brain & (image != 0)
    image = np.where(inside, image - image[inside].min(), 0)
    image = image / image.max()
    if rng.random() < 0.4:  # thick slices
        axis, thickness = rng.integers(3), rng.uniform(2, 6) / spacing_mm
        count = max(8, round(image.shape[axis] / thickness))
        zoom = [count / size if along == axis else 1 for along, size in enumerate(image.shape)]
        sigma = [thickness / 2.5 if along == axis else 0 for along in range(3)]
        thick = ndimage.zoom(ndimage.gaussian_filter(image, sigma), zoom, order=1, grid_mode=True, mode="nearest")
        back = np.array(image.shape) / np.array(thick.shape)
        image = ndimage.zoom(thick, back, order=1, grid_mode=True, mode="nearest")
    if rng.random() < 0.4:
        image = ndimage.gaussian_filter(image, rng.uniform(0.4, 1.2) / spacing_mm)
    if rng.random() < 0.6:
        image = image ** rng.uniform(0.75, 1.35)
    noise = rng.uniform(0.003, 0.03) * rng.standard_normal((2, *image.shape))
    image = np.hypot(image + noise[0], noise[1])
    if rng.random() < 0.3:
        image = np.round(image * 200)
    return scale_intensities(image.astype(np.float32), inside)


def synthetic(folder: Path, anatomy: Path | None, seeds: Sequence[int]) -> Iterator[Case]:
    """Read, or else generate, synthetic studies of 2 mm whose T1 has the contrast of a T1, with two more images."""
    torch.set_flush_denormal(True)
    config = GeneratorConfig.default()
    transforms = config.transforms
    transforms = replace(
        transforms,
        tissue_contrast=replace(transforms.tissue_contrast, arbitrary=0.0),
        vessels=replace(transforms.vessels, arteries=1.0, veins=1.0),
    )
    generator = GliomaGenerator(
        Anatomy.find(anatomy), config=replace(config, transforms=transforms, modalities=_RENDERED)
    )
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        path = folder / f"study_{seed:04d}.npy"
        if not path.exists():
            np.save(path, generator.sample(seed)[0].images.astype(np.float16))
        raw = np.load(path).astype(np.float32)
        box = bounding_box((raw != 0).any(axis=0))
        assert box is not None
        raw = np.pad(raw[(slice(None), *box)], ((0, 0), (1, 1), (1, 1), (1, 1)))
        brain = (raw != 0).any(axis=0)
        scaled = [scale_intensities(image, brain & (image > 0)) for image in raw]
        yield Case(dict(zip((*_RENDERED[:4], "T1 again", "T1CE again"), scaled, strict=True)), brain, 2.0, seed)


def real(folder: Path) -> Iterator[Case]:
    """Studies below a folder that have all four modalities."""
    for seed, path in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        grid = resample_to_model_grid(read_study(path))
        if set(grid.modalities) >= set(GLIOMA_MODALITIES):
            images = {modality.value: image for modality, image in zip(grid.modalities, grid.images, strict=True)}
            yield Case(images, grid.brain, grid.spacing_mm, seed)


Rows = list[tuple[np.ndarray, int]]


def tables(
    cases: Iterator[Case],
) -> tuple[dict[tuple[Modality, Modality], Rows], Rows, dict[tuple[Modality, ...], Rows]]:
    """Describe synthetic studies: features and class for the rules of pairs, of single images, and of enhancement."""
    pairs: dict[tuple[Modality, Modality], Rows] = {pair: [] for pair in combinations(GLIOMA_MODALITIES, 2)}
    looks: Rows = []
    enhancement: dict[tuple[Modality, ...], Rows] = {(T1,): [], (T2, FLAIR): []}
    for case in cases:
        images = case.images
        again = {name: case.again(name) for name in _RENDERED[:4]}
        for declared in ({name: images[name] for name in _RENDERED[:4]}, again):
            study = CoarseStudy.of(case.grid(**declared))
            found = {modality: study.look(modality) for modality in study.images}
            looks += [(look, GLIOMA_MODALITIES.index(modality)) for modality, look in found.items()]
            for pair, values in pair_features(study, found).items():
                pairs[pair].append((values, 1))
        for plain, contrasted, shown in (
            (images["T1"], images["T1CE"], 1),
            (images["T1 again"], again["T1CE"], 1),
            (again["T1"], images["T1CE again"], 1),
            (images["T1"], images["T1 again"], 0),
            (images["T1"], again["T1"], 0),
            (images["T1 again"], again["T1"], 0),
            (images["T1CE again"], again["T1"], 0),
            (images["T1CE"], again["T1CE"], 0),
        ):
            described = CoarseStudy.of(case.grid(T1=plain, T1CE=contrasted)).enhancement((T1,), T1CE)
            if described is not None:
                enhancement[T1,].append((described, shown))
        for image, others, shown in (
            (images["T1CE"], images, 1),
            (again["T1CE"], images, 1),
            (images["T1CE again"], again, 1),
            (images["T1"], images, 0),
            (again["T1"], images, 0),
            (images["T1 again"], again, 0),
        ):
            study = CoarseStudy.of(case.grid(T1CE=image, T2=others["T2"], FLAIR=others["FLAIR"]))
            described = study.enhancement((T2, FLAIR), T1CE)
            if described is not None:
                enhancement[T2, FLAIR].append((described, shown))
    return pairs, looks, enhancement


def fit(
    pairs: dict[tuple[Modality, Modality], Rows], looks: Rows, enhancement: dict[tuple[Modality, ...], Rows]
) -> Rules:
    """Fit all rules to the tables of synthetic studies."""
    weights = {pair: _logistic(rows, PAIR_PENALTY, constant=False)[1] for pair, rows in pairs.items()}
    shown = {plain: np.diff(_logistic(rows), axis=0)[0] for plain, rows in enhancement.items()}
    return Rules(weights, dict(zip(GLIOMA_MODALITIES, _logistic(looks), strict=True)), shown)


def _logistic(rows: Rows, penalty: float = PENALTY, *, constant: bool = True) -> np.ndarray:
    """Weights (K, F) of a multinomial logistic regression, balanced; with `constant` the last one is a constant.

    Without a constant, there are two classes, and exchanged images are the other class.
    """
    table = np.array([values for values, _ in rows])
    classes = np.array([kind for _, kind in rows])
    if not constant:
        table, classes = np.concatenate([table, -table]), np.concatenate([classes, 1 - classes])
    middle, scale = table.mean(axis=0), table.std(axis=0) + 1e-6
    table = (table - middle) / scale
    if constant:
        table = np.column_stack([table, np.ones(len(table))])
    count = classes.max() + 1
    wanted = np.eye(count)[classes]
    balance = (1 / np.bincount(classes))[classes] / count

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(count, -1)
        odds = table @ weights.T
        odds -= odds.max(axis=1, keepdims=True)
        chance = np.exp(odds)
        chance /= chance.sum(axis=1, keepdims=True)
        value = -(balance * np.log((chance * wanted).sum(axis=1) + 1e-300)).sum() + penalty * (weights**2).sum()
        slope = ((chance - wanted) * balance[:, None]).T @ table + 2 * penalty * weights
        return float(value), slope.ravel()

    weights = minimize(loss, np.zeros(count * table.shape[1]), jac=True, method="L-BFGS-B").x.reshape(count, -1)
    if not constant:
        return (weights - weights[:1]) / scale
    weights[:, :-1] /= scale
    weights[:, -1] -= weights[:, :-1] @ middle
    return weights


def situations(case: Case) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Declared images of a study: kind of situation, and images by the modality they are given as."""
    right = {name: case.images[name] for name in _RENDERED[:4]}
    yield "all four right", right
    yield "right, acquired again", {name: case.again(name, 1) for name in right}
    for names in (("T1CE", "T2", "FLAIR"), ("T1CE",), ("T1", "T2", "FLAIR"), ("T1", "T1CE")):
        yield f"right: {' '.join(names)}", {name: right[name] for name in names}
    for one, other in combinations(right, 2):
        yield f"{one} and {other} exchanged", right | {one: right[other], other: right[one]}
    for order in permutations(right):
        if sum(name == given for name, given in zip(order, right, strict=True)) == 1:
            yield "three mixed up", dict(zip(right, (right[name] for name in order), strict=True))
    natives = [case.again("T1", number) for number in (2, 3)]
    natives += [case.images[name] for name in case.images if name == "T1 again"]
    rest = {name: right[name] for name in ("T2", "FLAIR")}
    for native in natives:
        yield "T1 as T1CE, T1 kept", right | {"T1CE": native}
        yield "T1 as T1CE, T1 only beside", {"T1": right["T1"], "T1CE": native}
        yield "T1 as T1CE, no T1", rest | {"T1CE": native}
        yield "T1 as T1CE, alone", {"T1CE": native}
    yield "T1 exactly as T1CE, no T1", rest | {"T1CE": right["T1"]}
    yield "T1 and T1CE exchanged, those only", {"T1": right["T1CE"], "T1CE": right["T1"]}
    yield "T1CE as T1, T1CE kept", right | {"T1": case.again("T1CE", 4)}
    yield "T1CE as T1, no T1CE", rest | {"T1": right["T1CE"]}
    for wrong in ("T2", "FLAIR"):
        yield f"{wrong} as T1CE, {wrong} kept", right | {"T1CE": case.again(wrong, 5)}
        yield f"{wrong} as T1CE, alone", {"T1CE": right[wrong]}


def measure(cases: Iterator[Case], rules: Rules) -> dict[str, list[int]]:
    """Count for each kind of situation: studies, those doubted, and those said not to be judged."""
    counts: dict[str, list[int]] = {}
    for case in cases:
        for kind, declared in situations(case):
            doubts = check_modalities(case.grid(**declared), rules)
            row = counts.setdefault(kind, [0, 0, 0])
            row[0] += 1
            row[1] += any(doubt.looks_like for doubt in doubts)
            row[2] += bool(doubts) and not any(doubt.looks_like for doubt in doubts)
    return counts


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="*")
    parser.add_argument("--synthetic", type=Path)
    parser.add_argument("--anatomy", type=Path)
    parser.add_argument("--fit", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rules = default_rules()
    if options.fit:
        rules = fit(*tables(synthetic(options.synthetic, options.anatomy, range(FITTED))))
        made = {"made_by": "benchmarks/modality_check.py --fit", "studies": FITTED, **rules.as_dict()}
        options.fit.write_text(json.dumps(made) + "\n", encoding="utf-8")
    results = {folder.name: measure(real(folder), rules) for folder in options.cases}
    if options.synthetic:
        kept_apart = range(FITTED, FITTED + KEPT_APART)
        results["synthetic"] = measure(synthetic(options.synthetic, options.anatomy, kept_apart), rules)
    print("doubted of all; in brackets: said not to be judged\n")
    print("| situation | " + " | ".join(results) + " |")
    print("|---" * (len(results) + 1) + "|")
    for kind in next(iter(results.values())):
        cells = []
        for counts in results.values():
            total, doubted, unsure = counts.get(kind, (0, 0, 0))
            cells.append(f"{doubted} of {total}" + (f" ({unsure})" if unsure else ""))
        print(f"| {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
