"""The montage of many studies."""

import numpy as np
from PIL import Image

from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.report.study_montage import draw_study_montage


def study(modalities, lesion):
    image = np.zeros((24, 30, 20), np.float32)
    image[4:20, 4:26, 2:18] = 100
    labels = np.zeros(image.shape, np.uint8)
    if lesion:
        labels[8:14, 8:14, 6:12] = 2
    volumes = {name: Volume(image, np.eye(4)) for name in modalities}
    return Study(volumes, "x"), Segmentation(labels, np.eye(4), label_schema("magpie"))


def test_montage_draws_studies_with_one_modality_or_without_a_lesion(tmp_path):
    path = tmp_path / "montage.png"
    draw_study_montage(
        [(*study([Modality.T1CE, Modality.FLAIR], True), "with"), (*study([Modality.DWI], False), "without")] * 4, path
    )
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    outline = (np.abs(picture - np.array([0x8C, 0xE0, 0xE4])).max(-1) < 40).sum()
    assert outline > 30
    assert picture.shape[1] > 1000 and (picture.max(-1) > 200).any()
