"""Dice of models on labeled cases: per case, per missing modality, and for other postprocessing rules.

python benchmarks/accuracy.py CASES --schema brats-2022 --model MODEL [--model MODEL ...]
    --held-out     score each model only on the cases held out from its training (out of fold)
    --subsets      omit modalities, and print a table of the means
    --sweep        print the mean Dice for other rules: minimum volume of enhancing tumor, thresholds of regions
    --json FILE    write the scores
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from magpie_core.evaluation.region_metrics import dice, evaluate_case
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import SCHEMAS, LabelSchema, label_schema
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.inference.postprocessing import regions_to_labels
from magpie_core.inference.prediction import Prediction
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import find_segmentation, read_segmentation
from magpie_core.models.model import Model, load_model
from magpie_core.training.labeled_cases import list_cases

SUBSETS = {
    "all": GLIOMA_MODALITIES,
    **{f"no {left.value}": tuple(name for name in GLIOMA_MODALITIES if name is not left) for left in GLIOMA_MODALITIES},
    **{f"{only.value} only": (only,) for only in GLIOMA_MODALITIES},
}
MINIMUM_ET_ML = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


def pairs(models: list[Model], cases: list[Path], held_out: bool) -> Iterator[tuple[Model, Path]]:
    """Yield each model with the cases it is scored on."""
    for model in models:
        for case in cases:
            if not held_out or case.name in model.description.training.get("held_out", ()):
                yield model, case


def predict(case: Path, model: Model, modalities: tuple[Modality, ...], threads: int) -> Prediction:
    """Segment a case with some of its modalities only."""
    study = read_study(case)
    kept = Study({name: study.volumes[name] for name in modalities}, study.name)
    return segment_study(kept, model, threads=threads)


def reference_of(case: Path, schema: LabelSchema) -> Segmentation:
    """Return the case's reference standard in the schema "magpie"."""
    reference = read_segmentation(find_segmentation(case), schema=schema)
    return Segmentation(schema.convert(reference.labels, SCHEMAS["magpie"]), reference.affine, SCHEMAS["magpie"])


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--subsets", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    schema = label_schema(options.schema)
    models = [load_model(folder) for folder in options.model]
    rows: dict[str, list[dict]] = {}
    sweep: dict[str, list[list[float]]] = {}
    for model, case in pairs(models, list_cases(options.cases), options.held_out):
        reference = reference_of(case, schema)
        for subset, modalities in (SUBSETS if options.subsets else {"all": GLIOMA_MODALITIES}).items():
            prediction = predict(case, model, modalities, options.threads)
            scores = evaluate_case(prediction.segmentation, reference)
            rows.setdefault(subset, []).append({"case": case.name, "model": model.name, "scores": scores})
            if subset == "all":
                print(f"{case.name:28s} {model.name:28s}", *(_cell(scores[r]) for r in Region), flush=True)
            if subset == "all" and options.sweep:
                for rule, dice in swept(prediction, reference, model):
                    sweep.setdefault(rule, []).append(dice)
    print("\nmean over cases" + " " * 21, *(f"{region.value:>6s}" for region in Region), "   mean")
    for subset, scored in rows.items():
        _print_mean(subset, scored)
        with_et = [row for row in scored if row["scores"][Region.ET]["reference_volume_ml"] > 0]
        if len(with_et) < len(scored):
            _print_mean(f"{subset}, cases with ET ({len(with_et)})", with_et)
    for rule, values in sweep.items():
        print(f"{rule:36s}", *(f"{mean:6.3f}" for mean in np.mean(values, axis=0)))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def _cell(score: dict) -> str:
    return f"{score['dice']:.3f} ({score['volume_ml']:.1f}/{score['reference_volume_ml']:.1f} ml)"


def _print_mean(title: str, scored: list[dict]) -> None:
    means = [float(np.mean([row["scores"][region]["dice"] for row in scored])) for region in Region]
    print(f"{title:36s}", *(f"{mean:6.3f}" for mean in means), f"{np.mean(means):7.3f}")


def swept(prediction: Prediction, reference: Segmentation, model: Model) -> Iterator[tuple[str, list[float]]]:
    """Dice per region under other rules of postprocessing."""
    rules = model.description.postprocessing
    others = {
        f"minimum ET {smallest} ml": replace(rules, minimum_volume_ml=(smallest, *rules.minimum_volume_ml[1:]))
        for smallest in MINIMUM_ET_ML
    }
    for index, region in enumerate(Region):
        for threshold in THRESHOLDS:
            thresholds = list(rules.thresholds)
            thresholds[index] = threshold
            others[f"threshold of {region.value} {threshold}"] = replace(rules, thresholds=tuple(thresholds))
    volume_ml = prediction.segmentation.geometry.voxel_volume_ml
    for rule, changed in others.items():
        labels = regions_to_labels(prediction.probabilities, changed, voxel_volume_ml=volume_ml)
        again = Segmentation(labels, prediction.segmentation.affine, prediction.segmentation.schema)
        yield rule, [dice(again.mask(region), reference.mask(region)) for region in Region]


if __name__ == "__main__":
    main()
