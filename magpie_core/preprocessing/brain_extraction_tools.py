"""Other programs that find the brain, for those who have them installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume, write_volume

EXTERNAL_METHODS = {
    "hd-bet": ("hd-bet", "-i", "{image}", "-o", "{brain}", "--save_bet_mask", "--no_bet_image"),
    "synthstrip": ("mri_synthstrip", "-i", "{image}", "-m", "{mask}"),
}
_MOST_SECONDS = 1800


def extract_brain_with(tool: str, image: Volume) -> Volume:
    """Have an installed program find the brain in one image.

    Args:
        tool: "hd-bet" (Isensee et al. 2019) or "synthstrip" (Hoopes et al. 2022).
        image: The whole head; written to a private temporary folder, which is removed afterwards.

    Returns:
        Volume: bool, on the image's grid.

    Raises:
        ResourceError: If the program is not installed.
        InputError: If it fails or finds nothing.
    """
    words = EXTERNAL_METHODS[tool]
    program = shutil.which(words[0])
    if program is None:
        raise ResourceError(
            f"{tool} cannot find the brain",
            cause=f"the program {words[0]} is not installed",
            remedy="Install it, or leave the brain to MAGPIE",
        )
    with tempfile.TemporaryDirectory(prefix="magpie-brain-") as name:
        folder = Path(name)
        write_volume(Volume(image.data, image.affine), folder / "image.nii.gz")
        places = {"image": "image.nii.gz", "brain": "brain.nii.gz", "mask": "brain_mask.nii.gz"}
        command = [program, *(word.format(**places) for word in words[1:])]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_MOST_SECONDS)
            last_words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            last_words = [f"it took more than {_MOST_SECONDS // 60} minutes"]
        found = sorted(folder.glob("brain*mask.nii.gz")) + sorted(folder.glob("brain_bet.nii.gz"))
        if not found:
            raise InputError(
                f"{tool} found no brain",
                cause=" ".join(last_words),
                remedy="Leave the brain to MAGPIE, or give images of the brain alone",
                source=image.source,
            )
        mask = read_volume(found[0])
    inside = np.asarray(mask.data) > 0.5
    if mask.shape != image.shape or not inside.any():
        raise InputError(f"{tool} gave no mask of this image", source=image.source)
    return Volume(inside, image.affine, image.source)
