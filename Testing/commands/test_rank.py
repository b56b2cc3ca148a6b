"""`magpie rank`."""

import json


def test_rank_orders_studies_and_leaves_faulty_ones_out(magpie, write_study):
    first, second, broken = write_study("one"), write_study("two"), write_study("three")
    next(broken.glob("*t1ce*")).write_bytes(b"nonsense")
    result = magpie("rank", first, second, broken, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["studies"]
    assert {row["study"] for row in rows} == {str(first), str(second)}
    assert all(0 <= row["uncertainty"] <= 1 for row in rows)
    assert "uncertain" in magpie("rank", first).stdout
