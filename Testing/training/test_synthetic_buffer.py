"""The FIFO buffer of synthetic samples, filled by real generator processes."""

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


def test_buffer_is_filled_by_a_process_and_kept_for_the_next_run(tmp_path, anatomy):
    with SyntheticBuffer(tmp_path / "buffer", anatomy=anatomy, slots=8, generators=1) as buffer:
        sample = buffer.draw(np.random.default_rng(0))
        assert sample.shape == (80, 96, 80)
        assert sample.packed.shape[0] == 5 and sample.labels.max() <= 3
        assert len(sample.voxel_indices(tumor=False)) > 1000
    with SyntheticBuffer(tmp_path / "buffer", anatomy=anatomy, slots=8, generators=0) as buffer:
        assert buffer.draw(np.random.default_rng(0)).shape == (80, 96, 80)


def test_empty_buffer_without_anatomy_is_reported(tmp_path):
    with (
        SyntheticBuffer(tmp_path / "buffer", anatomy=tmp_path / "nowhere", generators=1) as buffer,
        pytest.raises(MagpieError, match="label maps"),
    ):
        buffer.draw(np.random.default_rng(0))


def test_draw_waits_for_another_process_that_fills_the_buffer(tmp_path):
    def fill():
        for slot in range(8):
            np.save(tmp_path / "scratch.npy", np.zeros((5, 4, 4, 4), np.uint8))
            (tmp_path / "scratch.npy").rename(tmp_path / f"slot_{slot:05d}.npy")

    with SyntheticBuffer(tmp_path, anatomy=tmp_path, generators=0, filled_elsewhere=True) as buffer:
        threading.Timer(0.5, fill).start()
        assert buffer.draw(np.random.default_rng(0)).shape == (4, 4, 4)


def test_draw_from_an_empty_buffer_that_nobody_fills_is_refused(tmp_path):
    with (
        SyntheticBuffer(tmp_path, anatomy=tmp_path, generators=0) as buffer,
        pytest.raises(MagpieError, match="no process generates more"),
    ):
        buffer.draw(np.random.default_rng(0))


def _filled(folder):
    folder.mkdir()
    for slot in range(8):
        np.save(folder / f"slot_{slot:05d}.npy", np.zeros((5, 4, 4, 4), np.uint8))
    return folder


def test_stopped_generator_is_reported_though_there_are_samples(tmp_path):
    buffer = SyntheticBuffer(_filled(tmp_path / "buffer"), anatomy=tmp_path / "nowhere", generators=1)
    with buffer, pytest.raises(ResourceError, match="generator process stopped"):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            buffer.draw(np.random.default_rng(0))
            time.sleep(0.2)


def test_buffer_is_filled_by_one_process_and_drawn_from_by_others(tmp_path):
    folder = _filled(tmp_path / "buffer")
    with SyntheticBuffer(folder, anatomy=tmp_path, generators=1):
        with (
            pytest.raises(ResourceError, match="Another training"),
            SyntheticBuffer(folder, anatomy=tmp_path, generators=1),
        ):
            pass
        with SyntheticBuffer(folder, anatomy=None, generators=0) as drawn:
            assert drawn.draw(np.random.default_rng(0)).shape == (4, 4, 4)


def test_samples_of_another_voxel_size_are_refused(tmp_path, anatomy):
    with SyntheticBuffer(tmp_path / "buffer", anatomy=anatomy, spacing_mm=4.0) as buffer:
        assert buffer.draw(np.random.default_rng(0)).shape == (40, 48, 40)
    with pytest.raises(InputError, match="4 mm"):
        SyntheticBuffer(tmp_path / "buffer", anatomy=anatomy)
    with pytest.raises(InputError, match="2 mm"):
        SyntheticBuffer(_filled(tmp_path / "old"), anatomy=anatomy, spacing_mm=1.0)


def test_unreadable_head_is_skipped(tmp_path, anatomy):
    (anatomy / "another.nii.gz").write_bytes(b"nothing")
    with SyntheticBuffer(tmp_path / "buffer", anatomy=anatomy, slots=8) as buffer:
        assert buffer.draw(np.random.default_rng(0)).shape == (80, 96, 80)


def test_truncated_counter_is_restarted(tmp_path, anatomy):
    (tmp_path / "buffer").mkdir()
    (tmp_path / "buffer" / "made_0.txt").touch()
    with SyntheticBuffer(tmp_path / "buffer", anatomy=anatomy, slots=8) as buffer:
        assert buffer.draw(np.random.default_rng(0)).shape == (80, 96, 80)
