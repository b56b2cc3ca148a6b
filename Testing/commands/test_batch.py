"""Many studies in one go: results and reasons, kills survived, nothing done twice."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from magpie_core.app.batch import write_summary
from magpie_core.storage.json_lines import append_json_line, read_json_lines


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines() if line]


def test_results_and_reasons(magpie, write_study, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_study(name)
    broken = write_study("broken")
    content = (broken / "t1ce.nii.gz").read_bytes()
    (broken / "t1ce.nii.gz").write_bytes(content[:200])
    out = tmp_path / "out"
    result = magpie("batch", tmp_path / "studies", "-o", out, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "2 of 3 studies segmented" in result.stdout and "broken: The file is cut short" in result.stdout
    table = list(csv.DictReader((out / "volumes.csv").open(encoding="utf-8-sig")))
    assert [row["study"] for row in table] == ["a", "b", "broken"]
    assert "T1CE: t1ce.nii.gz; T2: t2.nii.gz" in table[0]["images"] and table[2]["images"] == ""
    assert float(table[0]["WT_ml"]) > 0 and table[2]["WT_ml"] == "" and "cut short" in table[2]["error"]
    assert (out / "a" / "segmentation.nii.gz").is_file() and not (out / "broken").exists()


def test_again_does_nothing_twice_and_retries_only_when_asked(magpie, write_study, tmp_path: Path) -> None:
    write_study("a")
    broken = write_study("broken")
    whole = (broken / "t1ce.nii.gz").read_bytes()
    (broken / "t1ce.nii.gz").write_bytes(whole[:200])
    out = tmp_path / "out"
    magpie("batch", tmp_path / "studies", "-o", out, "--device", "cpu")
    before = (out / "a" / "report.json").stat().st_mtime_ns
    (broken / "t1ce.nii.gz").write_bytes(whole)
    magpie("batch", tmp_path / "studies", "-o", out, "--device", "cpu")
    assert len(rows(out)) == 2 and (out / "a" / "report.json").stat().st_mtime_ns == before
    assert "2 of 2" in magpie("batch", tmp_path / "studies", "-o", out, "--retry", "--device", "cpu").stdout
    assert len(rows(out)) == 3


def test_results_below_the_studies_are_no_studies(magpie, write_study, tmp_path: Path) -> None:
    write_study("a")
    out = tmp_path / "studies" / "results"
    for _ in range(2):
        result = magpie("batch", tmp_path / "studies", "-o", out, "--device", "cpu")
        assert "1 of 1 studies" in result.stdout, result.stderr


def test_another_model_is_not_mixed_in(magpie, write_study, tmp_path: Path) -> None:
    write_study("a")
    out = tmp_path / "out"
    magpie("batch", tmp_path / "studies", "-o", out, "--device", "cpu")
    lines = (out / "manifest.jsonl").read_text()
    sha = json.loads(lines)["model"]["sha256"]
    (out / "manifest.jsonl").write_text(lines.replace(sha, "ab" * 32))
    result = magpie("batch", tmp_path / "studies", "-o", out, "--device", "cpu")
    assert result.exit_code == 3 and "started with another model" in result.stderr


def test_a_worklist_names_folders_or_files(magpie, write_study, tmp_path: Path) -> None:
    folder = write_study("a")
    worklist = tmp_path / "list.csv"
    worklist.write_text(f"name,study,t1ce\nfirst,{folder},\nsecond,,studies/a/t1ce.nii.gz\n", encoding="utf-8-sig")
    out = tmp_path / "out"
    result = magpie("batch", worklist, "-o", out, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    assert [item["study"] for item in json.loads(result.stdout)["studies"]] == ["first", "second"]
    assert rows(out)[1]["modalities_used"] == ["T1CE"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study\n", "names no study"),
        ("study,t1\na,b\n", "Line 2"),
        ("name,study\n../x,a\n", "cannot be a folder's"),
        ("name,study\nx,a\nx,b\n", "Several studies are named x"),
        ("name,study\nX,a\nx,b\n", "Several studies are named x"),
        ("study\na,b,c\n", "more fields"),
        ("study\n.\n", "cannot be a folder's"),
    ],
)
def test_worklists_that_cannot_be_used(magpie, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    result = magpie("batch", tmp_path / "list.csv", "-o", tmp_path / "out")
    assert result.exit_code == 3 and message in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_and_a_zip_file_of_one_name_are_refused(magpie, tmp_path: Path) -> None:
    (tmp_path / "list" / "a").mkdir(parents=True)
    (tmp_path / "list" / "a.zip").touch()
    result = magpie("batch", tmp_path / "list", "-o", tmp_path / "out")
    assert result.exit_code == 3 and "Rename" in result.stderr and "column" not in result.stderr


def test_a_line_that_a_kill_cut_short_does_not_count(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    append_json_line(manifest, {"study": "a"})
    with manifest.open("a") as stream:
        stream.write('{"study": "b", "vol')
    assert [entry["study"] for entry in read_json_lines(manifest)] == ["a"]
    append_json_line(manifest, {"study": "b"})
    assert [entry["study"] for entry in read_json_lines(manifest)] == ["a", "b"]


def test_fifty_studies_ten_broken_killed_twice(models_folder, write_study, tmp_path: Path) -> None:
    whole = write_study("study-00")
    for number in range(1, 50):
        folder = whole.parent / f"study-{number:02d}"
        shutil.copytree(whole, folder)
        if number % 5 == 0 or number == 49:
            (folder / "t1ce.nii.gz").write_bytes(b"\x1f\x8bno image")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "magpie_core.cli", "batch", str(whole.parent), "-o", str(out)]
    command += ["--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "MAGPIE_MODELS": str(models_folder)}
    for wanted in (8, 25):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (out / "manifest.jsonl").exists() or len(rows(out)) < wanted:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = {row["study"]: (out / row["study"] / "report.json") for row in rows(out) if "error" not in row}
    times = {name: path.stat().st_mtime_ns for name, path in done.items()}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    entries = rows(out)
    assert len(entries) == len({entry["study"] for entry in entries}) == 50
    assert sum("error" in entry for entry in entries) == 10
    assert all(path.stat().st_mtime_ns == times[name] for name, path in done.items())
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == sorted(
        entry["study"] for entry in entries if "error" not in entry
    )


def test_the_table_names_the_doubts_of_a_study(tmp_path: Path) -> None:
    doubt = {"given": "T1CE", "looks_like": "T1", "evidence": "Is it the image before contrast?", "score": 3.0}
    write_summary(({"study": "a", "doubts": [doubt, doubt]}, {"study": "b"}), tmp_path / "volumes.csv")
    rows = list(csv.DictReader((tmp_path / "volumes.csv").open(encoding="utf-8-sig")))
    assert [row["doubts"] for row in rows] == ["Is it the image before contrast?", ""]
