"""Which file of a case folder holds the expert's labels."""

from __future__ import annotations

from pathlib import Path

from magpie_core.errors import InputError
from magpie_core.io.file_names import is_nifti, stem


def label_file(case: Path) -> Path | None:
    """The labels of a case folder, None if it has none; hidden files do not count.

    `seg.nii.gz` goes before FOLDER_seg.nii.gz and FOLDER-seg.nii.gz, with the folder's own name, as BraTS has it; any
    other name that ends so counts where it is the only one. So do `.nii` files.

    Raises
    ------
    InputError
        If several files remain: a prediction beside the labels must never be taken for them.
    """
    found = sorted(path for path in case.glob("*") if is_nifti(path) and stem(path).endswith("seg"))
    own = {f"{case.absolute().name}{mark}seg" for mark in "_-"}
    chosen = (
        [path for path in found if stem(path) == "seg"]
        or [path for path in found if stem(path) in own]
        or found
    )
    if len(chosen) > 1:
        raise InputError(
            "More than one file could be the labels of the case",
            cause=" and ".join(path.name for path in chosen),
            remedy="Name the expert's labels seg.nii.gz, or keep predictions in another folder",
            source=str(case),
        )
    return chosen[0] if chosen else None
