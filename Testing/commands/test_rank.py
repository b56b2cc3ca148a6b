"""`magpie next`."""

import json


def test_studies_are_ranked_and_faulty_ones_left_out(magpie, write_study):
    first, second, broken = write_study("one"), write_study("two"), write_study("three")
    next(broken.glob("*t1ce*")).write_bytes(b"nonsense")
    result = magpie("next", first, second, broken, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["studies"]
    assert {row["study"] for row in rows} == {str(first), str(second)}
    assert all(0 <= row["uncertainty"] <= 1 for row in rows)
    assert "uncertain" in magpie("next", first).stdout
