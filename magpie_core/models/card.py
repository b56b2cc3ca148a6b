"""Model card: what a model is, how it was trained, how accurate it is, and its limitations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from magpie_core.errors import ModelError
from magpie_core.imaging.modality import Modality
from magpie_core.models.description import CARD_NAME, ModelDescription

_CITATIONS = """\
- Menze BH et al. The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS). IEEE TMI 2015.
- Bakas S et al. Advancing The Cancer Genome Atlas glioma MRI collections. Scientific Data 2017.
- Bakas S et al. Identifying the best machine learning algorithms for brain tumor segmentation. arXiv 1811.02629, 2018.
- Baid U et al. The RSNA-ASNR-MICCAI BraTS 2021 benchmark. arXiv 2107.02314, 2021.
- Label maps of the synthetic heads: Billot B et al. SynthSeg. Medical Image Analysis 2023.
"""


@dataclass(frozen=True)
class Card:
    """What a panel shows of a card.

    Attributes:
        title: Name and edition of the model.
        license: License of the weights (SPDX identifier); empty if the card does not state it.
        figures: Rows of the accuracy table: title -> region -> mean Dice.
    """

    title: str
    license: str
    figures: Mapping[str, Mapping[str, float]]


def read_card(folder: Path) -> Card:
    """Read the card of a model folder; needs no further packages, and reads the cards of versions up to 0.5 too.

    Raises:
        ModelError: If it cannot be read.
    """
    path = folder / CARD_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError("Cannot read the model card", cause=str(error), source=str(path)) from error
    license_line = re.search(r"^- Licen[cs]e of the weights: (.+)\.$", text, re.MULTILINE)
    head = re.search(r"^\| cases \| (.+) \|$", text, re.MULTILINE)
    regions = head[1].split(" | ") if head else []
    row = re.compile(rf"^\| (.+?) ((?:\| \d\.\d+ ){{{len(regions)}}})\|$", re.MULTILINE)
    figures = {
        title: dict(zip(regions, map(float, values.strip("| ").split(" | ")), strict=True))
        for title, values in (row.findall(text) if regions else [])
    }
    return Card(text.partition("\n")[0].removeprefix("# "), license_line[1] if license_line else "", figures)


def write_card(description: ModelDescription, summary: str, figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return the Markdown text of a card.

    Args:
        summary: Training data of the model, in a sentence or two.
        figures: Rows of the accuracy table: title -> region -> mean Dice.
    """
    rules = description.postprocessing
    modalities = (Modality(name).label for name in description.network["modalities"])
    lines = [
        f"# {description.name} {description.version}",
        "",
        "**Research use only. Not for clinical decisions.**",
        "",
        summary,
        "",
        f"- Output: {', '.join(description.network['regions'])} of a glioma "
        "(enhancing tumor, tumor core, whole tumor).",
        f"- Input: any of {', '.join(modalities)}, co-registered and skull-stripped by MAGPIE, at "
        f"{description.spacing_mm:g} mm.",
        f"- License of the weights: {description.license}.",
        f"- Enhancing tumor of less than {rules.minimum_volume_ml[0]:g} ml in total is labeled as core; so is "
        "enhancing tumor whose brightest tenth exceeds the T1ce expected from T1 by less than "
        f"{rules.minimum_uptake_sd:g} standard deviations of the tissue outside the tumor.",
        *(
            f"- Interval of the volume of {region}: from the volume above probability {high:g} to that above {low:g}."
            for region, (high, low) in rules.interval_thresholds.items()
        ),
        "- Limitations: faint infiltrative tumors; bright uniform edema, which may be labeled as core; very large "
        "hemorrhagic tumors; operated brains. Without T1ce it segments no enhancing tumor.",
        "",
        "## Measured mean Dice",
        "",
        *_table(figures),
        "",
        "## Training",
        "",
        *(
            f"- {key}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
            for key, value in description.training.items()
            if value != []
        ),
        "",
        "## References",
        "",
        _CITATIONS,
    ]
    return "\n".join(lines)


def _table(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    regions = list(next(iter(figures.values()), {}))
    head = ["| cases | " + " | ".join(regions) + " |", "|---|" + "---|" * len(regions)]
    return head + [
        f"| {title} | " + " | ".join(f"{row[r]:.3f}" for r in regions) + " |" for title, row in figures.items()
    ]
