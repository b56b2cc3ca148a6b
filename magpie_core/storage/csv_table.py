"""Read CSV files as spreadsheets write them: any usual encoding, commas, semicolons or tabs."""

from __future__ import annotations

import csv
from pathlib import Path

from magpie_core.errors import InputError, read_errors

_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
_BOMS_16 = (b"\xff\xfe", b"\xfe\xff")


def read_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file, without empty ones; every field without blanks at its ends.

    Raises:
        InputError: If the file cannot be read.
    """
    with read_errors(path):
        data = path.read_bytes()
    text = _decoded(data).replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise InputError("The file is not a CSV file", remedy="Save the table as CSV", source=str(path))
    separators = ";,\t"
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and len(first) > 4:  # for Excel
        text, separators = rest, first[4]
    try:
        tables = [_parsed(text, separator) for separator in separators]
    except csv.Error as error:
        cause = str(error)
        raise InputError("Cannot read the table", cause=cause, remedy="Save it as CSV", source=str(path)) from error
    # The separator splits every line; a name may hold one of the others.
    return max(tables, key=lambda rows: [choose(map(len, rows), default=0) for choose in (min, max)])


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows below the first as mappings by its names, which become lower case; raises as `read_rows`.

    Raises:
        InputError: If a row has more fields than the first.
    """
    rows = read_rows(path)
    names = [name.lower() for name in rows[0]] if rows else []
    for number, row in enumerate(rows, 1):
        if len(row) > len(names):
            raise InputError(
                f"Line {number} of the table has more fields than its first line",
                remedy="Put names that hold the separator into quotation marks",
                source=str(path),
            )
    return [dict(zip(names, [*row, *[""] * (len(names) - len(row))], strict=True)) for row in rows[1:]]


def _decoded(data: bytes) -> str:
    for encoding in ("utf-16", *_ENCODINGS) if data.startswith(_BOMS_16) else _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("Latin-1 decodes any bytes")


def _parsed(text: str, separator: str) -> list[list[str]]:
    rows = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    return [[field.strip() for field in row] for row in rows if any(field.strip() for field in row)]
