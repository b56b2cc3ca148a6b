"""Known weaknesses of a synthetic model, before and after training on more studies of each phenotype.

python benchmarks/weaknesses.py CASES --schema brats-2022 --model MODEL --anatomy HEADS -o RUNS
    [--studies 300] [--steps 500] [--learning-rate 5e-4] [--seed 9] [--start-fraction 0.25] [--only NAME ...]

MODEL is fine-tuned on synthetic studies of which about a third have one phenotype, for comparison on the usual ones,
for the same number of steps. Each is evaluated on the real cases at the backbone's resolution (they are not used for
training), with all measures, so that side effects of a remedy are visible too. "together" is the mean of the weights.
The interval is a 95 % bootstrap, over cases, of the difference from the usual studies. An interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
import torch
import yaml
from starting_weights import interval, mean_dice, read_cases
from synthesis_transforms import FixedStudies, studies

from magpie_core.evaluation.region_metrics import dice
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.models.model import load_model
from magpie_core.networks.build import Network
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.losses import region_targets
from magpie_core.training.patch_sampling import SyntheticPatches, synthetic_batches
from magpie_core.training.sample import Sample
from magpie_core.training.segmentation_training import interpolate_weights, train
from magpie_core.training.validation import predict_regions

USUAL = "the usual studies"
REMEDIES = {
    USUAL: {},
    "uniform bright edema, small rim": {"phenotypes": {"edematous": {"weight": 0.45, "dark_edema": 0.85}}},
    "faint infiltration": {"phenotypes": {"infiltrative": {"weight": 0.55}}},
    "cysts with a nodule": {"phenotypes": {"cystic": {"weight": 0.45}}},
    "large and hemorrhagic": {"phenotypes": {"hemorrhagic": {"weight": 0.45}}},
}
VOXEL_ML = 0.008
LARGE_ML = 150.0


def edema_called_core(found: np.ndarray, reference: np.ndarray) -> float:
    """Compute the fraction of the edema that is segmented as core."""
    edema = reference[2] & ~reference[1]
    return float((found[1] & edema).sum() / edema.sum()) if edema.any() else float("nan")


def core_missed(found: np.ndarray, reference: np.ndarray) -> float:
    """Compute the fraction of the core that is missed."""
    return float((reference[1] & ~found[1]).sum() / reference[1].sum()) if reference[1].any() else float("nan")


def large_found(found: np.ndarray, reference: np.ndarray) -> float:
    """Compute the fraction of a large tumor that is found."""
    large = reference[2].sum() * VOXEL_ML > LARGE_ML
    return float((found[2] & reference[2]).sum() / reference[2].sum()) if large else float("nan")


def false_enhancement_ml(found: np.ndarray, reference: np.ndarray) -> float:
    """Compute the false enhancing tumor, ml, of a case with less than 1 ml."""
    small = reference[0].sum() * VOXEL_ML < 1.0
    return float((found[0] & ~reference[0]).sum() * VOXEL_ML) if small else float("nan")


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "edema called core": edema_called_core,
    "core missed": core_missed,
    f"found of tumors > {LARGE_ML:g} ml": large_found,
    "ml false ET where < 1 ml": false_enhancement_ml,
}


def contrast(case: Sample) -> float:
    """Compute the contrast of tumor and other brain on FLAIR, in standard deviations of the latter."""
    box = case.patch((0, 0, 0), case.shape)
    image, tumor = box.images[GLIOMA_MODALITY_NAMES.index("FLAIR")], box.labels > 0
    rest = image[(image != 0) & ~tumor]
    return float((image[tumor].mean() - rest.mean()) / rest.std())


def measured(network: Network, cases: list[Sample]) -> list[dict]:
    """Score the network on each case, a row each."""
    rows = []
    for case, regions in zip(cases, predict_regions(network, cases), strict=True):
        found = regions.numpy()
        reference = region_targets(torch.from_numpy(case.labels)).bool().numpy()
        scores = [dice(*pair) for pair in zip(found, reference, strict=True)]
        own = {name: measure(found, reference) for name, measure in MEASURES.items()}
        named = dict(zip(network.config.regions, scores, strict=True))
        rows.append({"case": case.name, "contrast": contrast(case), **named, **own})
    return rows


def finetune(name: str, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return the weights after fine-tuning with a remedy."""
    settings = f"{options.studies}_{options.steps}_{options.learning_rate:g}_{options.start_fraction:g}_{options.seed}"
    folder = options.out / settings / name.replace(" ", "-").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    weights_file = folder / "weights.pt"
    if not weights_file.exists():
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(REMEDIES[name]), encoding="utf-8")
        dataset = FixedStudies(studies(GeneratorConfig.read(path), options, options.seed))
        network = load_model(options.model).network
        before = {key: value.clone() for key, value in network.state_dict().items()}
        loop = LoopOptions(
            budget_steps=options.steps, learning_rate=options.learning_rate, warmup_steps=50, ema_decay=0.99
        )
        batches = synthetic_batches(dataset, SyntheticPatches(), network, "cpu")
        weights = interpolate_weights(train(network, batches, folder, loop), before, options.start_fraction)
        torch.save(weights, weights_file)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    loaded: dict[str, torch.Tensor] = torch.load(weights_file, weights_only=True)
    return loaded


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--anatomy", type=Path, required=True)
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(REMEDIES), default=list(REMEDIES))
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument(
        "--start-fraction", type=float, default=0.25, help="fraction of MODEL in the interpolated weights"
    )
    parser.add_argument("--seed", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    cases = read_cases(options.cases, options.schema, options.out / "cases")
    network = load_model(options.model).network
    table = {"MODEL as it is": measured(network, cases)}
    states = {}
    for name in options.only:
        states[name] = finetune(name, options)
        network.load_state_dict(states[name])
        table[name] = measured(network, cases)
        print(f"{name}: {mean(map(mean_dice, table[name])):.3f}", flush=True)
    remedies = [state for name, state in states.items() if name != USUAL]
    if len(remedies) > 1:
        together = {key: torch.stack([state[key] for state in remedies]).mean(dim=0) for key in remedies[0]}
        network.load_state_dict(together)
        table["together"] = measured(network, cases)
        torch.save(together, options.out / "together.pt")
    (options.out / "table.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    show(table)


def show(table: dict[str, list[dict]]) -> None:
    """Print a row for each training."""
    first = next(iter(table.values()))
    faintest = sorted(first, key=lambda row: row["contrast"])[: max(1, len(first) // 4)]
    names = {row["case"] for row in faintest}
    print(f"| trained on | ET | TC | WT | mean | difference from {USUAL} | WT of the {len(names)} faintest |", end="")
    print(" |".join(f" {name}" for name in MEASURES), "|")
    print("|---" * (7 + len(MEASURES)) + "|")
    usual = [mean_dice(row) for row in table.get(USUAL, first)]
    for name, rows in table.items():
        differences = [mean_dice(row) - other for row, other in zip(rows, usual, strict=True)]
        low, high = interval(differences)
        regions = " | ".join(f"{mean(row[region] for row in rows):.3f}" for region in ("ET", "TC", "WT"))
        faint = mean(row["WT"] for row in rows if row["case"] in names)
        own = " | ".join(f"{np.nanmean([row[measure] for row in rows]):.3f}" for measure in MEASURES)
        print(
            f"| {name} | {regions} | {mean(map(mean_dice, rows)):.3f} "
            f"| {mean(differences):+.3f} ({low:+.3f} to {high:+.3f}) | {faint:.3f} | {own} |"
        )


if __name__ == "__main__":
    main()
