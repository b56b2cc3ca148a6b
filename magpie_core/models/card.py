"""The model card: what a model is, what taught it, how good it is, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magpie_core.imaging.modality import Modality
from magpie_core.models.description import ModelDescription

_CITATIONS = """\
- Menze BH et al. The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS). IEEE TMI 2015.
- Bakas S et al. Advancing The Cancer Genome Atlas glioma MRI collections. Scientific Data 2017.
- Bakas S et al. Identifying the best machine learning algorithms for brain tumor segmentation. arXiv 1811.02629, 2018.
- Baid U et al. The RSNA-ASNR-MICCAI BraTS 2021 benchmark. arXiv 2107.02314, 2021.
- Label maps of the synthetic heads: Billot B et al. SynthSeg. Medical Image Analysis 2023.
"""


def write_card(
    description: ModelDescription, summary: str, figures: Mapping[str, Mapping[str, float]]
) -> str:
    """Markdown text of a card.

    Parameters
    ----------
    summary
        What taught the model, in a sentence or two.
    figures
        Rows of the accuracy table: title -> region name -> mean Dice.
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
        f"- Finds: {', '.join(description.network['regions'])} of a glioma "
        "(enhancing tumor; tumor core; whole tumor).",
        f"- Looks at: any of {', '.join(modalities)}, aligned and without the skull (MAGPIE sees "
        f"to both), at {description.spacing_mm:g} mm.",
        f"- License of the weights: {description.license}.",
        f"- Enhancing tumor of less than {rules.minimum_volume_ml[0]:g} ml in all is called core; so is what is "
        "hardly brighter on T1ce than T1 leads to expect (its brightest tenth less than "
        f"{rules.least_uptake:g} standard deviations of the tissue outside the tumor).",
        *(
            f"- Interval of the volume of {region}: between those above {strict:g} and above {lax:g}."
            for region, (strict, lax) in rules.interval_thresholds.items()
        ),
        "- Weak at: faint infiltrative tumors; bright uniform edema, which may be taken for core; very large "
        "hemorrhagic tumors; operated brains. Without T1ce it offers no enhancing tumor.",
        "",
        "## Measured mean Dice",
        "",
        *_table(figures),
        "",
        "## How it was made",
        "",
        *(f"- {key}: {_words(value)}" for key, value in description.training.items() if value != []),
        "",
        "## Sources to cite",
        "",
        _CITATIONS,
    ]
    return "\n".join(lines)


def _table(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    regions = list(next(iter(figures.values()), {}))
    head = ["| cases | " + " | ".join(regions) + " |", "|---|" + "---|" * len(regions)]
    return head + [
        f"| {title} | " + " | ".join(f"{row[r]:.3f}" for r in regions) + " |"
        for title, row in figures.items()
    ]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
