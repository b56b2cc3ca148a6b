"""MAGPIE: glioma segmentation in brain MRI, and fine-tuning on a site's own cases.

    import magpie_core as magpie

    result = magpie.segment("study/")
    result.volumes_ml["ET"]

`study/` is a folder with T1, T1ce, T2 and FLAIR of one visit, or any of them, as DICOM or NIfTI. Everything is computed
on this computer. Importing the package imports nothing else; torch comes with the first function that needs it.

Research use only, not for clinical decisions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magpie_core.api import add_case, attention, batch, evaluate, explain, finetune, rank, sample, segment
    from magpie_core.errors import Cancelled, InputError, MagpieError, ModelError, ResourceError
    from magpie_core.imaging.modality import Modality

__version__ = "0.6.0"
RESEARCH_USE = "Research use only, not for clinical decisions."

_USE_CASES = ("add_case", "attention", "batch", "evaluate", "explain", "finetune", "rank", "sample", "segment")
_ERRORS = ("Cancelled", "InputError", "MagpieError", "ModelError", "ResourceError")
_HOMES = {
    **dict.fromkeys(_USE_CASES, "magpie_core.api"),
    **dict.fromkeys(_ERRORS, "magpie_core.errors"),
    "Modality": "magpie_core.imaging.modality",
}

__all__ = [
    "RESEARCH_USE",
    "Cancelled",
    "InputError",
    "MagpieError",
    "Modality",
    "ModelError",
    "ResourceError",
    "__version__",
    "add_case",
    "attention",
    "batch",
    "evaluate",
    "explain",
    "finetune",
    "rank",
    "sample",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
