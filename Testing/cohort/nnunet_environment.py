"""An environment with nnU-Net's verification of datasets, beside the tests' own: `make test` makes it, tests find it.

nnU-Net pins other versions of what MAGPIE needs, and much that its verification does not import. So it is installed
without its dependencies, shares the packages of the tests' environment, and gets the few that are missing there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(sys.prefix) / "nnunet"
_ALONE = ("nnunetv2==2.8.1", "batchgenerators==0.25.5", "acvl-utils==0.2.6")
_IMPORTED = ("scikit-image", "tifffile", "pandas", "blosc2", "tqdm", "requests")
_VERIFY = """
import sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
if __name__ == "__main__":
    verify_dataset_integrity(sys.argv[1], 1)
"""


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def make() -> None:
    """Make the environment; CalledProcessError if a package cannot be had, and then there is none."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", FOLDER], check=True)
        packages = subprocess.run(
            [_python(FOLDER), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        Path(packages, "shared.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path) + "\n")
        pip = [sys.executable, "-m", "pip", "--python", _python(FOLDER), "install", "-q"]
        subprocess.run([*pip, "--no-deps", *_ALONE], check=True)
        subprocess.run([*pip, "--no-warn-conflicts", *_IMPORTED], check=True)
        (FOLDER / "verify.py").write_text(_VERIFY)
    except BaseException:
        shutil.rmtree(FOLDER, ignore_errors=True)
        raise


def verify(dataset: Path) -> subprocess.CompletedProcess[str]:
    """Run nnU-Net's verification of a dataset."""
    command = [_python(FOLDER), FOLDER / "verify.py", dataset]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


if __name__ == "__main__":
    make()
