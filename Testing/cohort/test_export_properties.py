"""Export and import preserve every region at its place in the world, whatever grids, schemas and modalities."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.exporting import export_cohort
from magpie_core.cohort.importing import import_folder
from magpie_core.cohort.label_options import LabelOptions
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.preprocessing.prepared_study import PreparedStudy, preparation_digest

ALL_MEANT = LabelOptions(allow_empty=True, allow_outside=True, allow_cavity=True, allow_swapped=True)
_MIDDLE_MM = np.array([-12.0, 20.0, 7.0])
_EXTENT_MM = 24.0
_RADIUS_MM = 7.0  # of what the images show: no grid cuts it, so that nothing has to be prepared


@strategies.composite
def grids(draw):
    """A grid about one place: storage order, flips, voxel sizes, and a turn of up to 20 degrees."""
    spacing = np.array([draw(strategies.sampled_from([1.0, 1.5, 2.0, 3.0])) for _ in range(3)])
    shape = tuple(int(size) for size in np.round(_EXTENT_MM / spacing))
    angle = np.deg2rad(draw(strategies.sampled_from([0, 0, 7, 20])))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    signs = np.array([draw(strategies.sampled_from([-1, 1])) for _ in range(3)])
    order = list(draw(strategies.permutations(range(3))))
    matrix = (turn @ np.diag(spacing * signs))[:, order]
    shape = tuple(shape[axis] for axis in order)
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = _MIDDLE_MM - matrix @ ((np.array(shape) - 1) / 2)
    return shape, affine


@strategies.composite
def cases(draw, number):
    """A study of some modalities on some grids, labels on one of them, in some schema."""
    some = draw(strategies.sets(strategies.sampled_from(GLIOMA_MODALITIES)))
    modalities = [key for key in Modality if key in {*some, Modality.T1CE}]
    own = draw(grids())
    volumes = {}
    for place, modality in enumerate(modalities):
        shape, affine = draw(strategies.one_of(strategies.just(own), grids()))
        rng = np.random.default_rng((number, place, draw(strategies.integers(0, 99))))
        world = np.einsum("ij,j...->i...", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]
        inside = np.linalg.norm(world - _MIDDLE_MM[:, None, None, None], axis=0) < _RADIUS_MM
        image = np.where(inside, rng.uniform(50, 400, shape), 0).astype(np.float32)
        volumes[modality] = Volume(image, affine)
    study = Study(volumes, f"case{number}")
    drawn_on = volumes[draw(strategies.sampled_from(modalities))]
    schema = SCHEMAS[draw(strategies.sampled_from(sorted(SCHEMAS)))]
    rng = np.random.default_rng(draw(strategies.integers(0, 999)))
    labels = rng.choice([0, *schema.labels], drawn_on.shape).astype(np.uint8)
    labels[:2] = 0
    prepared = PreparedStudy(study, digest=preparation_digest(study, "magpie"))
    return study, Segmentation(labels, drawn_on.affine, schema), prepared


@pytest.mark.parametrize("layout", ["nnunet", "bids"])
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(first=cases(0), second=cases(1))
def test_every_region_comes_back_at_its_place(layout, first, second):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = Cohort.create(folder / "cohort")
        for number, (study, labels, prepared) in enumerate((first, second)):
            cohort.add(study, labels, patient=str(number), preparation=prepared)
        done = export_cohort(cohort, folder / "export", layout)
        again = Cohort.create(folder / "again")
        results = import_folder(again, done.path, options=ALL_MEANT)
        # A ball is no head: where its images are to be prepared anew, no brain may be found in it.
        assume(not any("remove the skull" in (result.problem or "") for result in results))
        assert all(result.case for result in results), results
        names = {result.source.name.split("_dseg")[0].removesuffix(".nii.gz"): result.case for result in results}
        common = set(first[0].volumes) & set(second[0].volumes)
        for case, (study, labels, _) in zip(cohort.cases(), (first, second), strict=True):
            back = again.case(names[case.name])
            _check_same_regions(labels, read_segmentation(back.labels))
            assert set(back.images) == (common if layout == "nnunet" else set(study.volumes))


def _check_same_regions(before, after):
    """Check that every tissue and region has the same voxels in the world."""
    orders = [Reorientation.of(one.geometry) for one in (before, after)]
    assert orders[0].geometry.matches(orders[1].geometry, 0.01)
    for part in (*Tissue, *Region):
        masks = [order.apply(one.mask(part)) for order, one in zip(orders, (before, after), strict=True)]
        np.testing.assert_array_equal(*masks)
