"""Which series of a folder are of one visit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from magpie_core.errors import InputError
from magpie_core.series.facts import SeriesFacts

_PAUSE_S = 2 * 3600.0  # between two study UIDs of one date: the patient came twice


def visits_of(found: Sequence[SeriesFacts]) -> dict[tuple[str, str], list[SeriesFacts]]:
    """Group series by patient and date (study UID without a date), and where the patient came twice, by both."""
    dates: dict[tuple[str, str], list[SeriesFacts]] = defaultdict(list)
    for facts in found:
        dates[facts.patient, facts.study_date or facts.study_uid].append(facts)
    visits = {}
    for (patient, when), series in dates.items():
        sittings = _sittings(series)
        for sitting in sittings:
            visits[patient, when if len(sittings) == 1 else f"{when} (study UID {sitting[0].study_uid})"] = sitting
    return visits


def _sittings(series: list[SeriesFacts]) -> list[list[SeriesFacts]]:
    """Part the study UIDs of one date where hours lie between them; where their times are not known, do not."""
    studies: dict[str, list[SeriesFacts]] = defaultdict(list)
    for facts in series:
        studies[facts.study_uid].append(facts)
    times = {uid: [one.time_s for one in part if one.time_s is not None] for uid, part in studies.items()}
    if not all(times.values()):
        return [series]
    sittings: list[list[SeriesFacts]] = []
    end = 0.0
    for uid in sorted(studies, key=lambda uid: min(times[uid])):
        if sittings and min(times[uid]) - end < _PAUSE_S:
            sittings[-1] += studies[uid]
        else:
            sittings.append(list(studies[uid]))
        end = max(end, *times[uid])
    return sittings


def one_visit(found: Sequence[SeriesFacts], wanted: str | None = None) -> tuple[list[SeriesFacts], tuple[str, ...]]:
    """Return the series of the only visit, or of the one that is wanted, and notes.

    Series of one patient and one date are one visit, also under several study UIDs, as some scanners and archives
    write them.

    Args:
        wanted: Date (YYYYMMDD), patient ID or study UID of the visit.

    Raises:
        InputError: If there is more than one visit and none of them is wanted, or what is wanted is not there.
    """
    visits = visits_of(found)
    if wanted is not None:
        kept = [facts for facts in found if wanted in (facts.study_date, facts.patient, facts.study_uid)]
        if not kept:
            raise InputError(
                f"The folder holds no visit {wanted}",
                cause=f"there {'is' if len(visits) == 1 else 'are'} {_shown(visits)}",
                remedy="Give the date (YYYYMMDD), patient ID or study UID of one of them",
            )
        return one_visit(kept) if len(kept) < len(found) or len(visits) == 1 else _refuse(visits)
    if len(visits) > 1:
        return _refuse(visits)
    uids = {facts.study_uid for facts in found}
    if len(uids) > 1:
        return list(found), (
            f"The folder holds {len(uids)} study UIDs of one patient and date: they were read as one visit.",
        )
    return list(found), ()


def _refuse(visits: dict[tuple[str, str], list[SeriesFacts]]) -> tuple[list[SeriesFacts], tuple[str, ...]]:
    patients = len({patient for patient, _ in visits})
    whose = f"{patients} patients" if patients > 1 else "one patient"
    raise InputError(
        f"The folder holds {len(visits)} studies instead of one",
        cause=f"DICOM studies of {whose}: {_shown(visits)}",
        remedy="Choose the folder of one visit, or name the visit (command line: --visit, its date, patient ID or "
        "study UID)",
    )


def _shown(visits: dict[tuple[str, str], list[SeriesFacts]]) -> str:
    parts = []
    for (patient, when), series in sorted(visits.items())[:6]:
        folders = sorted({facts.folder for facts in series if facts.folder})
        place = f" in {', '.join(folders[:2])}{', ...' if len(folders) > 2 else ''}" if folders else ""
        parts.append(f"{when or 'no date'} (patient {patient or 'without an ID'}, {len(series)} series{place})")
    return "; ".join(parts) + ("; ..." if len(visits) > 6 else "")
