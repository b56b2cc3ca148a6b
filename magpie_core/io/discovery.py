"""Find the modalities of a study in a folder, by file names or DICOM headers, and read them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.found_image import FoundImage
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.study_checks import check_study
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_study import is_dicom_source, read_dicom_visit, read_one_series
from magpie_core.io.file_names import is_archive, is_image, is_nifti, read_name, stem
from magpie_core.io.image_files import account_of_files, beside_dicom, list_image_files, notes_of, shown_name
from magpie_core.io.nifti import read_channels, read_volume
from magpie_core.io.nifti_header import Orientation
from magpie_core.io.sidecar import read_names

_SEVERAL = 2  # modalities by NIfTI files' names: then these are the study, not a stray file beside DICOM
_ONE_BY_ONE = "choose the image of each modality yourself (command line: --t1, --t1ce, --t2, --flair)"
_NAMES = "such as t1.nii.gz, t1ce.nii.gz, t2.nii.gz, flair.nii.gz"
_NUMBERED = re.compile(r"(?P<case>.*)_(?P<channel>\d{4})$")


def read_study(
    source: Path | str | Mapping[Modality, Path],
    *,
    name: str | None = None,
    order: Iterable[Modality | str] | None = None,
    orientation: Orientation | None = None,
    repair: bool = False,
    series: Mapping[Modality, int | None] | None = None,
    visit: str | None = None,
    likely: bool = False,
) -> Study:
    """Read the modalities of one visit, and check that they belong together.

    Args:
        source: A folder with one visit as NIfTI or DICOM files, a zip file of such a folder, one file, or for each
            modality a file or a folder with one DICOM series.
        name: Name of the study; the folder's name by default.
        order: The modalities of `_0000`, `_0001`, ... files, or of the images in one four-dimensional file.
        orientation: Transform to use where sform and qform of a file disagree or neither is declared valid.
        repair: Set NaN and infinite voxels to 0, with a warning, instead of refusing them.
        series: Numbers of the DICOM series to use for some modalities; None for one to leave out.
        visit: Date (YYYYMMDD), patient ID or study UID of the visit to read from a DICOM folder with several.
        likely: Where only the user can tell which series is which, take the likelier, with a warning.

    Raises:
        InputError: If no modality, more than one visit or an ambiguous choice is found, or a file or the study is
            faulty.
    """
    volumes: dict[Modality, Volume]
    notes: tuple[str, ...] = ()
    found: tuple[FoundImage, ...] = ()
    from_dicom = not isinstance(source, Mapping) and reads_dicom(Path(source))
    if series and not from_dicom:
        raise InputError(
            "Series numbers apply to DICOM folders only",
            remedy="Leave --series out, or give the folder with the DICOM files",
            source="" if isinstance(source, Mapping) else str(source),
        )
    if isinstance(source, Mapping):
        files = {_modality(key): Path(path) for key, path in source.items()}
        if not files:
            raise InputError("No image was given", remedy="Give at least one modality")
        _refuse_same_file(files)
        volumes = {key: _read_one(key, path, orientation=orientation, repair=repair) for key, path in files.items()}
        found = tuple(FoundImage(path.name, "used", key, "chosen by the user") for key, path in files.items())
        name = name or next(iter(files.values())).absolute().parent.name
    elif from_dicom:
        source = Path(source)
        read = read_dicom_visit(source, series, visit=visit, likely=likely)
        beside = beside_dicom(source)
        volumes, found = read.volumes, read.found + beside
        notes = read.notes + tuple(f"{row.label} was not used: {row.reason}." for row in beside)
        name = name or stem(source).removesuffix(".zip")
    else:
        source = Path(source)
        given = parse_modalities(order)
        together = _channel_file(source, given)
        if together is not None:
            channels = read_channels(together, orientation=orientation, repair=repair)
            with errors_about(together):
                _refuse_miscount(len(channels), given, "images")
            volumes = dict(zip(given, channels, strict=True))
            found = tuple(FoundImage(together.name, "used", key, "by the order that was given") for key in given)
            name = name or (stem(together) if source.is_file() else source.absolute().name)
        else:
            files = find_modalities(source, order=given or None)
            volumes = {key: read_volume(path, orientation=orientation, repair=repair) for key, path in files.items()}
            name = name or _study_name(source, files)
            found = account_of_files(source, files)
            notes = notes_of(found)
    repaired = notes + tuple(warning for volume in volumes.values() for warning in volume.warnings)
    name = re.sub(r"[^\w.+-]+", "_", name).strip("._") or "study"  # a file system may refuse other characters
    study = Study(volumes, name, repaired, found)
    return replace(study, warnings=repaired + check_study(study))


def find_modalities(source: Path | str, *, order: Iterable[Modality | str] | None = None) -> dict[Modality, Path]:
    """Return the file of each modality in a folder with one visit (or of one file), in canonical order.

    Raises:
        InputError: If there is none, more than one visit, or two files for one modality.
    """
    source = Path(source)
    given = parse_modalities(order)
    files = list_image_files(source)
    numbered = [(path, match) for path in files if (match := _NUMBERED.match(stem(path)))]
    with errors_about(source):
        if numbered and (given or not any(read.modality for read in read_names(files).values())):
            found = _find_numbered(numbered, given)
        else:
            found = _find_named(source, files)
    return {modality: found[modality] for modality in Modality if modality in found}


def _find_named(source: Path, files: list[Path]) -> dict[Modality, Path]:
    visits: dict[str, dict[Modality, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path, read in read_names(files).items():
        if read.modality is not None:
            visits[_visit(path, read.subject, source)][read.modality].append(path)
    if len(visits) == 2 and "" in visits:  # files whose name states no subject are of the only subject there is
        unnamed = visits.pop("")
        (found,) = visits.values()
        for modality, paths in unnamed.items():
            found[modality] += paths
    if not visits:
        _refuse_unknown(source, files)
    if len(visits) > 1:
        _refuse_visits(sorted(visits))
    (found,) = visits.values()
    for modality, paths in found.items():
        nifti = [path for path in paths if is_nifti(path)]
        if len(nifti) == 1:  # the same image in another format beside it
            found[modality] = nifti
        elif len(paths) > 1 and modality in GLIOMA_MODALITIES:
            raise InputError(
                f"More than one file could be the {modality.label}",
                cause=" and ".join(sorted(shown_name(path, source) for path in paths)),
                remedy=f"Keep one of them in the folder, or {_ONE_BY_ONE}",
            )
    return {modality: paths[0] for modality, paths in found.items() if len(paths) == 1}


def reads_dicom(source: Path) -> bool:
    """Whether to read DICOM files; NIfTI files whose names state several modalities take precedence."""
    if not source.exists():
        return False
    if source.is_dir():
        named = {read.modality for read in read_names(list_image_files(source)).values()} & set(GLIOMA_MODALITIES)
        if len(named) >= _SEVERAL or (named and not is_dicom_source(source)):
            return False
    return is_dicom_source(source)


def _read_one(modality: Modality, path: Path, *, orientation: Orientation | None, repair: bool) -> Volume:
    """Read one modality from a NIfTI file, a multi-frame DICOM file or a folder with one DICOM series."""
    if not is_image(path) and path.exists() and is_dicom_source(path):
        return read_one_series(path, modality)
    return read_volume(path, orientation=orientation, repair=repair)


def _visit(path: Path, subject: str, source: Path) -> str:
    if subject or path.parent == source or source.is_file():
        return subject
    folder = path.parent.parent if path.parent.name == "anat" else path.parent
    return "" if folder == source else folder.relative_to(source).as_posix()


def _find_numbered(numbered: list[tuple[Path, re.Match[str]]], given: tuple[Modality, ...]) -> dict[Modality, Path]:
    cases = sorted({match["case"] for _, match in numbered})
    if len(cases) > 1:
        _refuse_visits(cases)
    channels = sorted(int(match["channel"]) for _, match in numbered)
    if channels != list(range(len(channels))):
        raise InputError(
            "The numbered files are not complete",
            cause="there are " + ", ".join(f"_{channel:04d}" for channel in channels),
            remedy=f"Give one file for each number from _0000 on, or {_ONE_BY_ONE}",
        )
    if not given:
        raise InputError(
            "The modalities of the numbered files are not known",
            cause=", ".join(path.name for path, _ in numbered),
            remedy="Choose the image of each modality yourself (command line: --t1, --t1ce, --t2, --flair, "
            "or --order FLAIR,T1,T1CE,T2)",
        )
    _refuse_miscount(len(numbered), given, "numbered files")
    return dict(zip(given, sorted((path for path, _ in numbered), key=stem), strict=True))


def _channel_file(source: Path, given: tuple[Modality, ...]) -> Path | None:
    """Return the one file that holds all modalities, if an order was given and the files are not numbered."""
    if not given:
        return None
    files = list_image_files(source)
    return files[0] if len(files) == 1 and not (len(given) == 1 and _NUMBERED.match(stem(files[0]))) else None


def parse_modalities(order: Iterable[Modality | str] | None) -> tuple[Modality, ...]:
    """Return the modalities of names as users and datasets write them ("T1CE", "T1-Gd"); a text may hold commas.

    Raises:
        InputError: If a name is unknown or occurs twice.
    """
    if isinstance(order, str):
        order = order.replace(" ", "").split(",")
    given = tuple(_modality(item) for item in order or ())
    if len(set(given)) != len(given):
        raise InputError(
            "The order names a modality twice",
            cause=", ".join(given),
            remedy="Name each modality once, in the order of the files",
        )
    return given


def _modality(item: Modality | str) -> Modality:
    try:
        return Modality(item) if item in Modality.__members__ else Modality[str(item).upper()]
    except KeyError:
        if modality := read_name(Path(f"{item}.nii")).modality:
            return modality
        raise InputError(
            f"'{item}' is not the name of a modality", remedy="Use one of " + ", ".join(Modality.__members__)
        ) from None


def _refuse_same_file(files: Mapping[Modality, Path]) -> None:
    for (one, path), (other, second) in combinations(files.items(), 2):
        if path.resolve() == second.resolve():
            raise InputError(
                f"The same file was given as {one.label} and as {other.label}",
                remedy="Choose the right file for each; leave a modality out if there is none",
                source=str(second),
            )


def _refuse_miscount(count: int, given: tuple[Modality, ...], what: str) -> None:
    if count != len(given):
        problem = f"{len(given)} modalities were given ({', '.join(given)}), but there are {count} {what}"
        raise InputError(problem, remedy="Give one modality for each, in their order")


def _refuse_unknown(source: Path, files: Sequence[Path]) -> None:
    packed = [path for path in ([source] if source.is_file() else sorted(source.iterdir())) if is_archive(path)]
    if packed:
        raise InputError(
            "The images are still packed",
            cause=f"{', '.join(path.name for path in packed[:3])} is an archive",
            remedy="Unpack it, and give the folder (of DICOM, a zip file itself works too)",
        )
    if source.is_file():
        remedy = f"Name the modality, or rename the file, {_NAMES}"
        raise InputError("The file's name states no modality", remedy=remedy)
    if files:
        shown = ", ".join(shown_name(path, source) for path in files[:6]) + (", ..." if len(files) > 6 else "")
        raise InputError(
            "No file in the folder has the name of a modality",
            cause=f"it holds {shown}",
            remedy=f"Rename the files, {_NAMES}, or {_ONE_BY_ONE}",
        )
    raise InputError(
        "There is no image in the folder",
        cause="neither it nor the folders in it hold an image file (.nii, .nii.gz, .nrrd, .mha, ...) or a DICOM image",
        remedy=f"Give a folder with images, {_NAMES}",
    )


def _refuse_visits(visits: Sequence[str]) -> None:
    shown = ", ".join(visit or "(unnamed)" for visit in visits[:12]) + (", ..." if len(visits) > 12 else "")
    raise InputError(
        f"The folder holds {len(visits)} studies instead of one",
        cause=shown,
        remedy=f"Give the folder of one visit, or {_ONE_BY_ONE}",
    )


def _study_name(source: Path, files: Mapping[Modality, Path]) -> str:
    if source.is_file():
        return read_name(source).subject or stem(source)
    if source.absolute().name == "anat":
        return read_name(next(iter(files.values()))).subject or source.absolute().parent.name
    return source.absolute().name
