"""Expert maps, template, expert grid and attention points of the Training module on real nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume

SIZE = 160
REPOSITORY = Path(__file__).resolve().parents[2]
TURN = np.radians(10)
TO_TEMPLATE = np.array(
    [
        [1.1 * np.cos(TURN), -np.sin(TURN), 0, 5.0],
        [np.sin(TURN), 1.1 * np.cos(TURN), 0.1, -8.0],
        [0, 0, 1.2, 12.0],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def training_module_library(slicer, monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "MagpieTraining"))


def _ball(affine, shape, center, radius):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return np.linalg.norm(world - np.array(center), axis=-1) < radius


@pytest.fixture
def template(tmp_path):
    """Path of a template with a bright spot at the study position (10, 5, -3)."""
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = (-60, -60, -50)
    spot = (TO_TEMPLATE @ [10, 5, -3, 1])[:3]
    data = 100.0 * _ball(affine, (80, 80, 70), (0, 0, 5), 50)
    data[_ball(affine, (80, 80, 70), spot, 6)] = 300
    write_volume(Volume(data.astype(np.float32), affine), tmp_path / "template.nii.gz")
    return tmp_path / "template.nii.gz"


@pytest.fixture
def expert_maps(load_volume, tmp_path):
    """Maps of eight experts; the first has high weights around (10, 5, -3)."""
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = (60, 60, -50)
    nodes = []
    for number in range(8):
        data = 20 + 200 * _ball(affine, (60, 60, 50), (10 - 4 * number, 5, -3), 8)
        write_volume(Volume(data.astype(np.uint8), affine), tmp_path / f"expert_{number + 1}.nii")
        nodes.append(load_volume(tmp_path / f"expert_{number + 1}.nii"))
    return nodes


def _slice(slicer, composite, volume_place) -> np.ndarray:
    """(SIZE, SIZE, 3): the axial slice of a composite node, by Slicer's own slice logic."""
    from vtk.util.numpy_support import vtk_to_numpy

    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    view = slicer.mrmlScene.GetSingletonNode("Picture", "vtkMRMLSliceNode")
    if view is None:
        view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Picture")
        view.SetLayoutName("Picture")
    view.SetOrientation("Axial")
    view.SetDimensions(SIZE, SIZE, 1)
    view.SetFieldOfView(120, 120, 1)
    view.JumpSliceByCentering(*volume_place)
    logic.SetSliceNode(view)
    logic.SetSliceCompositeNode(composite)
    logic.UpdatePipeline()
    connection = logic.GetImageDataConnection()
    connection.GetProducer().Update()
    image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
    width, height, _ = image.GetDimensions()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return values[::-1, :, :3].copy()


def test_template_is_aligned_with_the_study(slicer, training_module_library, template, expert_maps, golden) -> None:
    from MagpieTrainingLib.ExpertsLogic import ExpertsLogic
    from MagpieTrainingLib.TemplateOverlay import TemplateOverlay

    overlay = TemplateOverlay()
    volume = overlay.load(str(template), TO_TEMPLATE.tolist())
    assert overlay.volume() is volume and all(node.GetParentTransformNode() is None for node in expert_maps)
    assert np.allclose(overlay.templateCoordinates([10, 5, -3]), (TO_TEMPLATE @ [10, 5, -3, 1])[:3])
    expert_maps[0].SetAttribute("MAGPIE.expert", "1")
    expert_maps[0].GetDisplayNode().AutoWindowLevelOff()
    expert_maps[0].GetDisplayNode().SetWindowLevelMinMax(0, 150)
    expert_maps[0].GetDisplayNode().SetAndObserveColorNodeID(ExpertsLogic.colors()[0].GetID())
    ExpertsLogic.setDisplay(0.4, None)
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 300)
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetLayoutName("Picture")
    composite = slicer.mrmlScene.AddNode(composite)
    composite.SetBackgroundVolumeID(volume.GetID())
    alone = _slice(slicer, composite, (10, 5, -3)).astype(int)
    # The transformed spot of the template is in the center of the view.
    assert np.abs(np.argwhere(alone[..., 0] > 200).mean(axis=0) - SIZE / 2).max() < 2
    composite.SetForegroundVolumeID(expert_maps[0].GetID())
    composite.SetForegroundOpacity(0.5)
    together = _slice(slicer, composite, (10, 5, -3))
    colored = np.argwhere(np.ptp(together.astype(int), axis=-1) > 20)
    assert len(colored) > 100 and np.abs(colored.mean(axis=0) - SIZE / 2).max() < 3
    golden(together, "template")
    again = overlay.load(str(template), np.eye(4).tolist())
    assert len(slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")) == 1
    assert overlay.templateCoordinates([1, 2, 3]) == (1, 2, 3) and overlay.volume() is again
    overlay.remove()
    assert overlay.volume() is None and overlay.templateCoordinates([1, 2, 3]) is None


def test_dominant_expert_map_has_the_color_of_each_expert(
    slicer, training_module_library, load_volume, tmp_path, golden
) -> None:
    from MagpieSegmentationLib.SegmentationResult import SegmentationResult
    from MagpieTrainingLib.Colors import CATEGORICAL
    from MagpieTrainingLib.ExpertsLogic import ExpertsLogic

    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = (60, 60, -50)
    places = [(-20, 0), (0, 0), (20, 0)]
    maps = [20 + 200 * _ball(affine, (60, 60, 50), (*place, 0), 8).astype(np.uint8) for place in places]
    dominant = np.zeros((60, 60, 50), np.uint8)
    for number, one in enumerate(maps, 1):
        dominant[one > 100] = number
    paths = []
    for name, data in [*((f"expert_{n}", one) for n, one in enumerate(maps)), ("dominant", dominant)]:
        paths.append(str(tmp_path / f"{name}.nii"))
        write_volume(Volume(data, affine), Path(paths[-1]))
    anatomy = load_volume(Path(paths[0]))
    message = {"maps": paths[:-1], "dominant": paths[-1], "names": ["", "ED", ""], "token_mm": 2.0}
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "tumor")
    result = SegmentationResult(segmentation, {"of": "nothing"}).attach()
    ExpertsLogic(port=None).load(message | {"layers": ["encoder, stage 1"], "layer": 0}, result)
    assert ExpertsLogic.result().segmentationNode is segmentation and "encoder" in ExpertsLogic.description()
    node = ExpertsLogic.dominant()
    assert node.GetDisplayNode().GetColorNode().GetColorName(2) == "Expert 2 (Edema)"
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetLayoutName("Picture")
    composite = slicer.mrmlScene.AddNode(composite)
    composite.SetBackgroundVolumeID(anatomy.GetID())
    composite.SetForegroundVolumeID(node.GetID())
    composite.SetForegroundOpacity(1.0)
    picture = _slice(slicer, composite, (0, 0, 0))
    for (right, _anterior), color in zip(places, CATEGORICAL, strict=False):
        # Radiological convention: the patient's right is on the left.
        column = round(SIZE / 2 - right * SIZE / 120)
        assert np.abs(picture[SIZE // 2, column] / 255 - color).max() < 0.02
    golden(picture, "experts-most")


@pytest.mark.parametrize("count", [4, 8, 6])
def test_expert_grid_has_a_view_for_each_expert(slicer, training_module_library, expert_maps, count) -> None:
    from MagpieTrainingLib.ExpertGrid import ExpertGrid

    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    layout = logic.GetLayoutNode()
    layout.SetViewArrangement(layout.SlicerLayoutOneUpRedSliceView)
    grid = ExpertGrid()
    grid.show(expert_maps[:count], expert_maps[7], 0.4)
    assert grid.isShown
    views = logic.GetViewNodes()
    names = [views.GetItemAsObject(index).GetLayoutName() for index in range(views.GetNumberOfItems())]
    assert names == [f"MagpieExpert{number}" for number in range(1, count + 1)]
    for index in range(count):
        view, composite = views.GetItemAsObject(index), grid.composite(index + 1)
        assert view.GetOrientation() == "Axial" and view.GetViewGroup() == 58
        assert composite.GetForegroundVolumeID() == expert_maps[index].GetID()
        assert composite.GetBackgroundVolumeID() == expert_maps[7].GetID()
        assert composite.GetForegroundOpacity() == 0.4 and composite.GetLinkedControl()
    # Slicer's slice logic of a view uses the existing composite node.
    slice_logic = slicer.vtkMRMLSliceLogic()
    slice_logic.SetMRMLScene(slicer.mrmlScene)
    slice_logic.SetSliceNode(views.GetItemAsObject(1))
    assert slice_logic.GetSliceCompositeNode() is grid.composite(2)
    before = len(slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"))
    grid.show(expert_maps[:count], None, 0.8)
    assert len(slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")) == before
    assert grid.composite(1).GetBackgroundVolumeID() == expert_maps[7].GetID()
    grid.hide()
    assert layout.GetViewArrangement() == layout.SlicerLayoutOneUpRedSliceView and not grid.isShown
    grid.hide()


def test_attention_logic_adds_a_model_for_each_layer(slicer, training_module_library) -> None:
    from MagpieTrainingLib.AttentionLogic import AttentionLogic

    points = [
        {"layer": layer, "weight": weight, "ras": [x, 2.0, 3.0], "from_ras": [0.0, 0.0, 0.0]}
        for layer, weight, x in (("near", 0.25, 1.0), ("near", 0.75, 4.0), ("far", 1.0, 60.0))
    ]
    logic = AttentionLogic(port=None)
    near, far = logic.load({"points": points})
    assert near.GetName() == "Attention: near" and far.GetPolyData().GetNumberOfLines() == 1
    shape = near.GetPolyData()
    assert shape.GetNumberOfLines() == shape.GetNumberOfVerts() == 2
    assert [shape.GetPoint(n) for n in (0, 1, 3)] == [(0, 0, 0), (1, 2, 3), (4, 2, 3)]
    assert shape.GetPointData().GetArray("weight").GetValue(3) == 0.75
    display = near.GetDisplayNode()
    assert display.GetVisibility2D() and display.GetSliceDisplayMode() == display.SliceDisplayProjection
    assert display.GetScalarVisibility() and display.GetScalarRange() == (0, 0.75)
    logic.load({"points": points[:1]})
    assert len(logic.models()) == 1


def test_nodes_with_files_have_names_of_their_own(slicer):
    from MagpieTrainingLib.SceneNodes import createNode

    tables = [createNode("vtkMRMLTableNode", "Dice of all folds", "MAGPIE.plot", str(n)).GetName() for n in range(3)]
    assert len(set(tables)) == 3  # a scene is saved with one file for each, by its name
    charts = [createNode("vtkMRMLPlotSeriesNode", "Whole tumor", "MAGPIE.plot", str(n)).GetName() for n in range(2)]
    assert charts == ["Whole tumor"] * 2  # the legend
