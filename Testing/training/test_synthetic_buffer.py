"""The ring of synthetic samples: filled by a real process of its own, reproducible, and honest when it fails."""

import threading
import time

import nibabel
import numpy as np
import pytest

from magpie_core.errors import InputError, MagpieError, ResourceError
from magpie_core.training.synthetic_buffer import SyntheticBuffer


def _ellipsoid(shape, radii):
    grid = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij")
    return sum((x / r) ** 2 for x, r in zip(grid, radii, strict=True)) < 1


@pytest.fixture
def anatomy(tmp_path):
    labels = np.zeros((150, 180, 150), np.uint8)
    labels[_ellipsoid(labels.shape, (66, 80, 66))] = 1
    labels[_ellipsoid(labels.shape, (64, 78, 64))] = 3
    labels[_ellipsoid(labels.shape, (56, 70, 56))] = 5
    labels[_ellipsoid(labels.shape, (8, 16, 8))] = 2
    folder = tmp_path / "heads"
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), folder / "one.nii.gz")
    return folder


def test_samples_come_from_a_process_of_their_own_and_stay_for_the_next_run(tmp_path, anatomy):
    with SyntheticBuffer(tmp_path / "ring", anatomy=anatomy, slots=8, generators=1) as ring:
        sample = ring.draw(np.random.default_rng(0))
        assert sample.shape == (80, 96, 80)
        assert sample.packed.shape[0] == 5 and sample.labels.max() <= 3
        assert len(sample.places(tumor=False)) > 1000
    with SyntheticBuffer(tmp_path / "ring", anatomy=anatomy, slots=8, generators=0) as ring:
        assert ring.draw(np.random.default_rng(0)).shape == (80, 96, 80)


def test_an_empty_ring_without_anatomy_says_so(tmp_path):
    with (
        SyntheticBuffer(tmp_path / "ring", anatomy=tmp_path / "nowhere", generators=1) as ring,
        pytest.raises(MagpieError, match="label maps"),
    ):
        ring.draw(np.random.default_rng(0))


def test_a_process_without_generators_waits_for_another_that_fills_the_ring(tmp_path):
    def fill():
        for slot in range(8):
            np.save(tmp_path / "scratch.npy", np.zeros((5, 4, 4, 4), np.uint8))
            (tmp_path / "scratch.npy").rename(tmp_path / f"slot_{slot:05d}.npy")

    with SyntheticBuffer(tmp_path, anatomy=tmp_path, generators=0, filled_elsewhere=True) as ring:
        threading.Timer(0.5, fill).start()
        assert ring.draw(np.random.default_rng(0)).shape == (4, 4, 4)


def test_an_empty_ring_that_nobody_fills_is_not_waited_for(tmp_path):
    with (
        SyntheticBuffer(tmp_path, anatomy=tmp_path, generators=0) as ring,
        pytest.raises(MagpieError, match="no process makes more"),
    ):
        ring.draw(np.random.default_rng(0))


def _filled(folder):
    folder.mkdir()
    for slot in range(8):
        np.save(folder / f"slot_{slot:05d}.npy", np.zeros((5, 4, 4, 4), np.uint8))
    return folder


def test_a_generator_that_stops_is_noticed_though_there_are_samples(tmp_path):
    ring = SyntheticBuffer(_filled(tmp_path / "ring"), anatomy=tmp_path / "nowhere", generators=1)
    with ring, pytest.raises(ResourceError, match="stopped"):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            ring.draw(np.random.default_rng(0))
            time.sleep(0.2)


def test_a_ring_is_filled_by_one_and_may_be_drawn_from_by_others(tmp_path):
    folder = _filled(tmp_path / "ring")
    with SyntheticBuffer(folder, anatomy=tmp_path, generators=1):
        with (
            pytest.raises(ResourceError, match="Another training"),
            SyntheticBuffer(folder, anatomy=tmp_path, generators=1),
        ):
            pass
        with SyntheticBuffer(folder, anatomy=None, generators=0) as drawn:
            assert drawn.draw(np.random.default_rng(0)).shape == (4, 4, 4)


def test_samples_have_the_voxel_size_that_is_asked_for_and_are_not_mixed_with_others(tmp_path, anatomy):
    with SyntheticBuffer(tmp_path / "ring", anatomy=anatomy, spacing_mm=4.0) as ring:
        assert ring.draw(np.random.default_rng(0)).shape == (40, 48, 40)
    with pytest.raises(InputError, match="4 mm"):
        SyntheticBuffer(tmp_path / "ring", anatomy=anatomy)
    with pytest.raises(InputError, match="2 mm"):
        SyntheticBuffer(_filled(tmp_path / "old"), anatomy=anatomy, spacing_mm=1.0)


def test_a_head_that_cannot_be_read_is_passed_over(tmp_path, anatomy):
    (anatomy / "another.nii.gz").write_bytes(b"nothing")
    with SyntheticBuffer(tmp_path / "ring", anatomy=anatomy, slots=8) as ring:
        assert ring.draw(np.random.default_rng(0)).shape == (80, 96, 80)


def test_a_counter_that_was_not_written_to_the_end_is_begun_anew(tmp_path, anatomy):
    (tmp_path / "ring").mkdir()
    (tmp_path / "ring" / "made_0.txt").touch()
    with SyntheticBuffer(tmp_path / "ring", anatomy=anatomy, slots=8) as ring:
        assert ring.draw(np.random.default_rng(0)).shape == (80, 96, 80)
