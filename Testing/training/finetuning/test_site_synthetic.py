"""The site's synthetic studies are bounded on disk."""

import os

from magpie_core.storage.site import site_folder
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.finetuning.site_synthetic import site_synthetic_set


def test_sets_that_were_not_used_for_long_are_removed_but_not_the_one_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    parent = site_folder() / "synthetic"

    def make():
        site_synthetic_set(FinetuneOptions(), spacing_mm=2.0, anatomy=None, log=tmp_path / "log")

    def put(name, gigabytes, age_s):
        folder = parent / name
        folder.mkdir(exist_ok=True)
        with (folder / "studies").open("wb") as stream:
            stream.truncate(int(gigabytes * 1e9))  # sparse
        os.utime(folder, (1e9 - age_s, 1e9 - age_s))

    make()
    (own,) = parent.iterdir()
    put("new", 0.5, 10)
    put("old", 1.8, 20)
    make()
    assert {path.name for path in parent.iterdir()} == {own.name, "new"}
    put(own.name, 3, 0)
    make()
    assert [path.name for path in parent.iterdir()] == [own.name]
