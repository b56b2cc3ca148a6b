"""Read files with random damage: each is read or refused in words, in time, and what fails its checksum is refused.

Example: python benchmarks/mutated_files.py --count 5000 --seed 0

Prints the outcomes of COUNT damaged DICOM files and COUNT damaged NIfTI, NRRD, MetaImage and MGH files. The exit code
is 1 if one of them raised anything but the project's own errors, took longer than 10 s, ended the process, changed the
folder, or was accepted although its checksum does not hold.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as itk  # noqa: N813

from magpie_core.errors import MagpieError
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_series import list_series
from magpie_core.io.dicom_volume import read_series
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import encode, read_volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing"))
from dicom_files import TIMES, write_series  # noqa: E402

LONGEST_S = 10
BATCH = 250
AFFINE = np.array([[-9.0, 0, 0, 45], [0, -8.0, 0, 48], [0, 0, 10.0, -40], [0, 0, 0, 1]])  # as large as a head
Read = Callable[[Path], object]


def main() -> None:
    """Run batches in processes of their own, as a decoder may end its process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="damaged files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=["dicom", "images"])
    parser.add_argument("--first", type=int, help="run one batch in this process, from this number on")
    options = parser.parse_args()
    if options.first is not None:
        outcomes, failures = run(options.kind, range(options.first, options.first + options.count), options.seed)
        print(*(f"{name}\t{count}" for name, count in outcomes.items()), *failures, sep="\n")
        return
    wrong = False
    for kind in [options.kind] if options.kind else ["dicom", "images"]:
        outcomes: Counter[str] = Counter()
        for first in range(0, options.count, BATCH):
            count = min(BATCH, options.count - first)
            command = [sys.executable, __file__, "--kind", kind, "--seed", str(options.seed)]
            done = subprocess.run(
                [*command, "--first", str(first), "--count", str(count)], capture_output=True, text=True
            )
            for line in done.stdout.splitlines():
                name, tab, number = line.partition("\t")
                if tab:
                    outcomes[name] += int(number)
                else:
                    print(line)
            if done.returncode:
                outcomes["ended the process"] += 1
                print(f"{kind}, from {first}: exit code {done.returncode}\n{done.stderr[-1500:]}")
        print(f"{kind}: {dict(outcomes)}", flush=True)
        wrong = wrong or bool(set(outcomes) - {"read", "refused"})
    sys.exit(wrong)


def run(kind: str, numbers: range, seed: int) -> tuple[Counter[str], list[str]]:
    """Damage and read files by their numbers; return the outcomes and a text for each failure."""
    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    failures = []
    with tempfile.TemporaryDirectory() as name:
        sound = Path(name, "sound")
        write = write_dicom if kind == "dicom" else write_images
        targets = write(sound)
        for number in numbers:
            rng = np.random.default_rng((seed, number, kind == "dicom"))
            target, read, checked = targets[number % len(targets)]
            folder = Path(name, target.parent.name + " damaged")
            if not folder.exists():
                shutil.copytree(target.parent, folder)
            path = folder / target.name
            content = target.read_bytes()
            damaged, place = damage(content, rng)
            path.write_bytes(damaged)
            before = sorted(folder.rglob("*"))
            outcome, detail = attempt(read, folder if kind == "dicom" else path)
            if outcome == "read" and checked is not None and place >= checked and damaged != content:
                with warnings.catch_warnings():
                    same = np.array_equal(read_volume(path).data, read_volume(target).data)
                outcome, detail = (outcome, "") if same else ("altered content accepted", f"damaged at byte {place}")
            if sorted(folder.rglob("*")) != before:
                outcome = "changed the folder"
            outcomes[outcome] += 1
            if outcome not in ("read", "refused"):
                failures.append(f"{kind} {number} ({target.name}): {outcome}: {detail}")
            path.write_bytes(content)
    return outcomes, failures


def attempt(read: Read, path: Path) -> tuple[str, str]:
    """Read a file within the time; return the outcome and what is to be said of it."""

    def late(*_: object) -> None:
        raise TimeoutError

    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, late)
        signal.alarm(LONGEST_S)
    try:
        read(path)
        return "read", ""
    except MagpieError as error:
        return "refused", str(error)
    except TimeoutError:
        return "too slow", f"more than {LONGEST_S} s"
    except BaseException as error:
        return f"raised {type(error).__name__}", traceback.format_exc(limit=-4).replace("\n", " | ").replace("\t", " ")
    finally:
        if hasattr(signal, "SIGALRM"):
            signal.alarm(0)


def damage(content: bytes, rng: np.random.Generator) -> tuple[bytes, int]:
    """Return the content with one to three changes, and the first byte that differs."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(max(len(changed), 1)))
        size = int(rng.integers(1, 9))
        match rng.integers(6):
            case 0:
                changed[place : place + 1] = bytes([int(rng.integers(256))])
            case 1:
                changed[place : place + size] = rng.bytes(size)
            case 2:
                del changed[place:]
            case 3:
                del changed[place : place + size]
            case 4:
                changed[place:place] = rng.bytes(size)
            case _:
                changed[place : place + 4] = (b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff")[int(rng.integers(3))]
    pairs = zip(content, changed, strict=False)
    first = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(content), len(changed)))
    return bytes(changed), first


def read_all_series(folder: Path) -> None:
    """Read every series of a folder, and the folder as a study."""
    for series in list_series(folder)[0]:
        with suppress(MagpieError):
            read_series(series)
    read_study(folder)


def write_dicom(folder: Path) -> list[tuple[Path, Read, int | None]]:
    """Write a classic and an enhanced series; return a file of each, and how to read its folder."""
    data = np.random.default_rng(0).integers(0, 900, (10, 12, 8)).astype(np.float32)
    volume = Volume(data, AFFINE)
    classic = write_series(volume, folder / "classic", description="T1 3D", **TIMES["T1"])
    enhanced = write_series(volume, folder / "enhanced", description="T2", enhanced=True, **TIMES["T2"])
    return [(classic[2], read_all_series, None), (enhanced[0], read_all_series, None)]


def write_images(folder: Path) -> list[tuple[Path, Read, int | None]]:
    """Write an image in every format; return the files, and from which byte on a checksum covers them."""
    data = np.random.default_rng(0).integers(0, 900, (10, 12, 8)).astype(np.int16)
    folder.mkdir()
    plain = encode(data, AFFINE, Path("a.nii"))
    files: dict[str, int | None] = {"a.nii": None, "b.nii.gz": 0, "pair.hdr": None, "pair.img": None, "m.mgz": 0}
    (folder / "a.nii").write_bytes(plain)
    (folder / "b.nii.gz").write_bytes(gzip.compress(plain))
    with suppress(ImportError):
        from backports import zstd

        options = {zstd.CompressionParameter.checksum_flag: 1}
        (folder / "c.nii.zst").write_bytes(zstd.compress(plain, options=options))
        files["c.nii.zst"] = 0
    nibabel.save(nibabel.Nifti1Pair(data, AFFINE), folder / "pair.img")
    nibabel.save(nibabel.MGHImage(data, AFFINE), folder / "m.mgz")
    image = itk.GetImageFromArray(data.transpose(2, 1, 0))
    image.SetSpacing((0.9, 0.8, 3.0))
    for name, packed in (("d.nrrd", False), ("e.nrrd", True), ("f.mha", False), ("g.mha", True), ("h.mhd", False)):
        itk.WriteImage(image, str(folder / name), packed)
        content = (folder / name).read_bytes()
        end = content.find(b"\n\n") + 2 if name.endswith("nrrd") else content.find(b"LOCAL\n") + 6
        files[name] = end if packed else None
    itk.WriteImage(image, str(folder / "i.nhdr"), True)
    files["i.nhdr"] = None
    return [(folder / name, read_volume, checked) for name, checked in files.items()]


if __name__ == "__main__":
    main()
