"""Progress never runs backwards and says each stage once."""

from __future__ import annotations

from magpie_core.commands.progress import ProgressBar
from magpie_core.progress import part_of


def test_each_stage_is_one_line_with_its_share(capsys):
    with ProgressBar("patient") as bar:
        for share, stage in ((0.0, "reading"), (0.1, "looking"), (0.4, "looking"), (0.2, "writing"), (1.0, "done")):
            bar(share, stage)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["patient:   0% reading", "patient:  10% looking", "patient:  40% writing", "patient: 100% done"]


def test_a_part_fills_its_stretch_and_leaves_the_end_to_the_next(capsys):
    with ProgressBar("p") as bar:
        part = part_of(bar, 0.2, 0.6)
        part(0.5, "half")
        part(1.0, "never said")
        bar(0.6, "next")
    assert capsys.readouterr().err.splitlines() == ["p:  40% half", "p:  60% next"]


def test_quiet_is_quiet(capsys):
    with ProgressBar("p", quiet=True) as bar:
        bar(0.5, "half")
    assert capsys.readouterr().err == ""
