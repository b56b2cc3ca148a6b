"""CSV files as spreadsheets write them."""

import pytest

from magpie_core.errors import InputError
from magpie_core.storage.csv_table import read_rows, read_table

ROWS = [["case0", "München"], ["case1", "Berlin, Mitte"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_encoding_separator_and_line_ending(tmp_path, encoding, ending, separator):
    lines = [f'{case}{separator}"{site}"' for case, site in ROWS]
    (tmp_path / "x.csv").write_bytes((ending.join(lines) + ending + ending).encode(encoding))
    assert read_rows(tmp_path / "x.csv") == ROWS


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("case0;Müller, Anna\ncase1;Meier, Eva\n", [["case0", "Müller, Anna"], ["case1", "Meier, Eva"]]),
        ("sep=;\na;b\n", [["a", "b"]]),
        ("subject,path\nx,a.nii;b.nii\n", [["subject", "path"], ["x", "a.nii;b.nii"]]),
        ("study\na b\n", [["study"], ["a b"]]),
        ('"a\nb",c\n', [["a\nb", "c"]]),
        ("", []),
    ],
)
def test_separators_in_fields(tmp_path, text, rows):
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert read_rows(tmp_path / "x.csv") == rows


def test_a_table_has_names_and_refuses_what_is_no_table(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("Study; Name\na;b\nc\n", encoding="utf-8")
    assert read_table(path) == [{"study": "a", "name": "b"}, {"study": "c", "name": ""}]
    path.write_text("study,name\na,b,c\n", encoding="utf-8")
    with pytest.raises(InputError, match="Line 2"):
        read_table(path)
    path.write_bytes(b"PK\x03\x04\0\0\0")
    with pytest.raises(InputError, match="not a CSV"):
        read_rows(path)
    with pytest.raises(InputError):
        read_rows(tmp_path / "missing.csv")
