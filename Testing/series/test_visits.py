"""Which series are of one visit."""

from __future__ import annotations

import pytest

from magpie_core.errors import InputError
from magpie_core.series.facts import SeriesFacts
from magpie_core.series.visits import one_visit


def series(patient: str = "7", date: str = "20240101", uid: str = "1.2", folder: str = "") -> SeriesFacts:
    return SeriesFacts(patient=patient, study_date=date, study_uid=uid, folder=folder)


def test_study_uids_of_one_patient_and_date_are_one_visit_with_a_note():
    kept, notes = one_visit([series(uid="1"), series(uid="2"), series(uid="3")])
    assert len(kept) == 3 and "3 study UIDs" in notes[0]
    assert one_visit([series(), series()])[1] == ()


@pytest.mark.parametrize("other", [{"date": "20240301"}, {"patient": "8"}, {"date": "", "uid": "9"}])
def test_other_dates_and_patients_are_refused_with_their_folders_and_can_be_chosen(other):
    visits = [series(folder="a"), series(**other, folder="b")]
    with pytest.raises(InputError) as caught:
        one_visit(visits)
    assert "in a" in str(caught.value) and "in b" in str(caught.value) and "--visit" in caught.value.remedy
    wanted = other.get("date") or other.get("patient") or other["uid"]
    assert one_visit(visits, wanted)[0] == [visits[1]]


def test_a_visit_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match="20240101"):
        one_visit([series()], "20200101")
