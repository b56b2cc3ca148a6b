"""Model card: what a model is, how it was trained, how accurate it is, and its limitations."""

from __future__ import annotations

from collections.abc import Mapping

from magpie_core.imaging.modality import Modality
from magpie_core.models.description import ModelDescription

_CITATIONS = """\
- Menze BH et al. The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS). IEEE TMI 2015.
- Bakas S et al. Advancing The Cancer Genome Atlas glioma MRI collections. Scientific Data 2017.
- Bakas S et al. Identifying the best machine learning algorithms for brain tumor segmentation. arXiv 1811.02629, 2018.
- Baid U et al. The RSNA-ASNR-MICCAI BraTS 2021 benchmark. arXiv 2107.02314, 2021.
- Label maps of the synthetic heads: Billot B et al. SynthSeg. Medical Image Analysis 2023.
"""


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
