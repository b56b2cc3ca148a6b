"""The Training module: cases, training curves, expert maps, versions."""

from __future__ import annotations

import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import Cancelled
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.models.versions import VersionStore

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = {"T1": "t1", "T1CE": "t1c", "T2": "t2", "FLAIR": "flair"}


@pytest.fixture
def training_module(desktop, site, monkeypatch):
    """The opened module MagpieTraining."""
    import sys

    import desktop as stand_in

    monkeypatch.syspath_prepend(str(REPOSITORY / "MagpieTraining"))
    slicer = desktop.slicer
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: None)
    # In Slicer the module MagpieSegmentation, on which this one depends, is loaded first.
    entry = types.SimpleNamespace(path=str(REPOSITORY / "MagpieSegmentation" / "MagpieSegmentation.py"))
    monkeypatch.setattr(slicer.modules, "magpiesegmentation", entry, raising=False)
    widget = stand_in.open_module(slicer, REPOSITORY / "MagpieTraining" / "MagpieTraining.py")
    yield widget
    widget.cleanup()
    widget.panel.ui.resultSelector.release()
    for name in [name for name in sys.modules if name.startswith("MagpieTraining")]:
        del sys.modules[name]


@pytest.fixture
def result(module, tiny_model, make_study, tmp_path, wait):
    """A phantom that was segmented in the Segmentation module."""
    folder = tmp_path / "patient 7"
    folder.mkdir()
    for modality, volume in make_study().volumes.items():
        write_volume(volume, folder / f"{NAMES[modality.value]}.nii.gz")
    module.panel.study.loadFolder(folder)
    module.logic.start(module.panel.volumes(), model=tiny_model, device="cpu", threads=1)
    wait(lambda: module.logic.poll() or not module.logic.isRunning)
    return module.panel.segment.result


def _write_log(folder, count, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.jsonl").open("a") as stream:
        for step in range(start, start + count):
            line = {
                "step": step,
                "minutes": step / 60,
                "progress": min(1, step / 1000),
                "learning_rate": 1e-3,
                "loss": 1.0,
            }
            line |= {f"dice_{region}": 0.5 for region in ("ET", "TC", "WT")}
            line |= {"gradient_norm": 1.0, "entropy_0": 0.9, "entropy_1": 0.4}
            line |= {f"load_{part}_{n}": n / 28 for part in range(2) for n in range(8)}
            stream.write(json.dumps(line) + "\n")


def test_disabled_buttons_give_the_reason_without_cases_and_trainings(training_module):
    ui = training_module.panel.ui
    assert "Choose the folder" in ui.cohortLabel.text
    assert "No fine-tuning was started" in ui.runLabel.text
    for name in (
        "checkCasesButton",
        "acceptEditButton",
        "plotsButton",
        "explainButton",
        "useButton",
        "verifyButton",
        "exportButton",
    ):
        widget = getattr(ui, name)
        assert not widget.enabled and widget.toolTip, name
    assert not ui.backButton.enabled and "No other version" in ui.backButton.toolTip
    assert ui.versionsTable.item(0, 0).text() == "magpie-s" and ui.versionsTable.item(0, 1).text() == "in use"


def test_training_curves_follow_a_running_training(training_module, site, wait):
    ui = training_module.panel.ui
    run = site / "runs" / "site-1" / "fold0"
    _write_log(run, 100)
    wait(lambda: "site-1, Fold 1:" in ui.runLabel.text, 5)
    assert "10 %" in ui.runLabel.text and ui.runBar.value == 10 and "0.50" in ui.figuresLabel.text
    plots = training_module.panel.training.plots
    assert not plots.areShown
    ui.plotsButton.click()
    chart = plots.chart("dice")
    assert chart.GetNumberOfPlotSeriesNodes() == 3
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    assert table.GetNumberOfRows() == 100
    assert plots.chart("load").GetNumberOfPlotSeriesNodes() == 8
    assert plots.chart("entropy").GetNumberOfPlotSeriesNodes() == 2
    shown = [[ui.loadTable.item(row, part).text() for part in range(2)] for row in range(9)]
    assert shown[7:] == [["0.25", "0.25"], ["0.90", "0.40"]]
    strengths = [ui.loadTable.item(row, 0).background().color().alpha() for row in range(8)]
    assert strengths == sorted(strengths) and strengths[0] < strengths[7]
    _write_log(run, 50, start=100)
    wait(lambda: table.GetNumberOfRows() == 150, 5)


def test_synthetic_studies_are_counted_while_they_are_made(training_module, site, wait):
    ui = training_module.panel.ui
    folder = site / "runs" / "site-1" / "synthetic"
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"step": 30, "made": 30, "studies": 150}\n')
    wait(lambda: "30 of 150" in ui.runLabel.text, 5)
    assert ui.runBar.value == 20 and not ui.plotsButton.enabled
    _write_log(site / "runs" / "site-1" / "fold0", 100)
    wait(lambda: "site-1, Fold 1:" in ui.runLabel.text, 5)
    ui.plotsButton.click()
    assert training_module.panel.training.plots.chart("folds_WT").GetNumberOfPlotSeriesNodes() == 1


def test_training_curves_compare_folds_and_restart_with_another_run(training_module, site, wait):
    ui, plots = training_module.panel.ui, training_module.panel.training.plots
    _write_log(site / "runs" / "site-1" / "fold0", 100)
    wait(lambda: "site-1, Fold 1:" in ui.runLabel.text, 5)
    ui.plotsButton.click()
    chart = plots.chart("dice")
    _write_log(site / "runs" / "site-1" / "fold1", 30)
    wait(lambda: "site-1, Fold 2:" in ui.runLabel.text, 5)
    assert plots.chart("dice") is chart and chart.GetNthPlotSeriesNode(0).GetTableNode().GetNumberOfRows() == 30
    for region in ("WT", "TC", "ET"):
        folds = plots.chart(f"folds_{region}")
        curves = [folds.GetNthPlotSeriesNode(n) for n in range(folds.GetNumberOfPlotSeriesNodes())]
        assert [curve.GetName() for curve in curves] == ["Fold 1", "Fold 2"]
        assert [curve.GetYColumnName() for curve in curves] == [f"dice_{region}"] * 2
        assert [curve.GetTableNode().GetNumberOfRows() for curve in curves] == [100, 30]
    shutil.rmtree(site / "runs" / "site-1")
    _write_log(site / "runs" / "site-1" / "fold0", 20)  # restarted
    wait(lambda: "site-1, Fold 1:" in ui.runLabel.text, 5)
    assert plots.chart("folds_WT").GetNumberOfPlotSeriesNodes() == 1
    other = site / "runs" / "site-2" / "fold0"
    other.mkdir(parents=True)
    line = {"step": 50, "minutes": 1.0, "progress": 0.5, "loss": 1.0, "dice_WT": 0.5}  # a network without experts
    (other / "log.jsonl").write_text(json.dumps(line) + "\n")
    wait(lambda: "site-2, Fold 1:" in ui.runLabel.text, 5)
    assert plots.chart("folds_WT").GetNumberOfPlotSeriesNodes() == 1
    assert plots.chart("load") is None and plots.chart("entropy") is None and not ui.loadTable.isVisibleTo(None)


def test_run_log_subsamples_a_hundred_thousand_lines_and_follows_new_ones(training_module, site):
    from MagpieTrainingLib.RunLog import RunLog

    run = site / "runs" / "long" / "all"
    _write_log(run, 100_000)
    log = RunLog(run / "log.jsonl")
    log.update()
    steps = [line["step"] for line in log.lines]
    assert steps == sorted(set(steps)) and len(steps) < 6000
    assert steps[0] == 0 and steps[-1] == 99_999
    _write_log(run, 5, start=100_000)
    with (run / "log.jsonl").open("a") as stream:
        stream.write('{"step": 100')  # an incomplete line
    assert log.update() and log.lines[-1]["step"] == 100_004
    assert not RunLog(run / "nothing").update()


def test_expert_maps_lie_on_the_study_and_the_tables_follow_the_mouse(
    training_module, desktop, result, tiny_model, wait, monkeypatch
):
    slicer, ui, panel = desktop.slicer, training_module.panel.ui, training_module.panel
    start = panel.logic.start
    monkeypatch.setattr(panel.logic, "start", lambda chosen: start(chosen, model=str(tiny_model), device="cpu"))
    layers = []
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **options: layers.append(options))
    ui.resultSelector.setCurrentNode(result.segmentationNode)
    assert ui.explainButton.enabled, ui.explainButton.toolTip
    ui.explainButton.click()
    assert not ui.explainButton.enabled
    wait(lambda: ui.expertSelector.count == 4 + 1)
    assert not desktop.errors and "maps: 4 mm" in ui.expertsLabel.text
    maps = panel.logic.maps()
    assert [node.GetName().split(" (")[0] for node in maps] == [f"Expert {n}" for n in range(1, 5)]
    reference = result.referenceNode
    first, second = np.zeros(6), np.zeros(6)
    maps[0].GetRASBounds(first)
    reference.GetRASBounds(second)
    np.testing.assert_allclose(first, second, atol=1e-3)
    ui.expertSelector.setCurrentIndex(2)
    ui.opacitySlider.value = 30
    assert layers[-1]["foreground"] is maps[2] and layers[-1]["foregroundOpacity"] == 0.3
    ui.thresholdSlider.value = 40
    assert maps[2].GetDisplayNode().GetLowerThreshold() == pytest.approx(102)
    rows, regions = ui.agreementTable.rowCount, ui.agreementTable.columnCount
    assert rows == 4 + 2 and regions >= 1
    overlaps = [float(ui.agreementTable.item(row, regions - 1).text()) for row in range(rows)]
    assert max(overlaps[:4]) <= overlaps[-1] + 0.05
    crosshair = slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0]
    middle = (second[::2] + second[1::2]) / 2
    crosshair.SetCursorPositionRAS(middle.tolist())
    assert ui.mouseTable.rowCount == 4
    shares = [int(ui.mouseTable.item(row, 1).text()) for row in range(4)]
    assert sum(shares) == pytest.approx(100, abs=4)
    np.testing.assert_allclose(panel.logic.weightsAt(middle.tolist()), np.array(shares) / 100, atol=0.01)
    crosshair.SetCursorPositionRAS([1000.0, 0.0, 0.0])
    assert [ui.mouseTable.item(row, 1).text() for row in range(4)] == [""] * 4
    assert not slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    ui.barsButton.click()
    crosshair.SetCursorPositionRAS(middle.tolist())
    chart = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")[0]
    series = [chart.GetNthPlotSeriesNode(number) for number in range(4)]
    heights = [bar.GetTableNode().GetTable().GetColumnByName(bar.GetYColumnName()).GetValue(0) for bar in series]
    assert heights == shares and all(bar.GetPlotType() == bar.PlotTypeBar for bar in series)
    assert len({bar.GetColor() for bar in series}) == 4
    shown = slicer.util.getNodesByClass("vtkMRMLSelectionNode")[0].GetActivePlotChartID()
    assert shown == chart.GetID()
    ui.barsButton.click()
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")) == 1
    regions = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLTableNode")
        if node.GetName() == f"Experts and regions: {reference.GetName()}"
    ]
    assert len(regions) == 1 and regions[0].GetNumberOfRows() == rows and regions[0].GetLocked()
    assert float(regions[0].GetCellText(rows - 1, regions[0].GetNumberOfColumns() - 1)) == pytest.approx(
        overlaps[-1], abs=0.006
    )


def test_dominant_expert_is_shown_in_the_color_of_each_expert(explained, desktop, monkeypatch):
    from vtk.util.numpy_support import vtk_to_numpy

    slicer, ui = desktop.slicer, explained.ui
    layers = []
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **options: layers.append(options))
    ui.expertSelector.setCurrentIndex(4)
    assert ui.expertSelector.currentText == "Dominant expert"
    dominant = explained.logic.dominant()
    assert layers[-1]["foreground"] is dominant

    def voxels(node):
        return vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())

    maps = np.stack([voxels(node) for node in explained.logic.maps()])
    inside = maps.any(axis=0)
    np.testing.assert_array_equal(voxels(dominant)[inside], maps.argmax(axis=0)[inside] + 1)
    assert not voxels(dominant)[~inside].any()
    colors = dominant.GetDisplayNode().GetColorNode()
    assert [colors.GetColorName(n) for n in range(1, 5)] == [n.GetName() for n in explained.logic.maps()]
    assert not ui.colorSelector.enabled and not ui.thresholdSlider.enabled  # they have no effect here
    ui.expertSelector.setCurrentIndex(0)
    assert ui.colorSelector.enabled and ui.thresholdSlider.enabled


def test_new_expert_maps_replace_all_nodes_of_the_previous_ones(explained, desktop, wait):
    slicer, ui = desktop.slicer, explained.ui
    kinds = ("vtkMRMLVolumeNode", "vtkMRMLScalarVolumeDisplayNode", "vtkMRMLStorageNode")
    kinds += ("vtkMRMLColorTableNode", "vtkMRMLTableNode")

    def counts():
        return {kind: len(slicer.util.getNodesByClass(kind)) for kind in kinds}

    before = counts()
    ui.explainButton.click()
    assert not ui.explainButton.enabled
    wait(lambda: ui.explainButton.enabled)
    assert counts() == before and not desktop.errors


def test_loaded_scene_restores_maps_and_tables_and_closed_scene_clears_them(
    explained, training_module, desktop, result, tmp_path
):
    slicer, ui = desktop.slicer, explained.ui
    names = [ui.expertSelector.itemText(n) for n in range(ui.expertSelector.count)]
    description, heat = ui.expertsLabel.text, ui.agreementTable
    cells = [heat.item(row, 0).text() for row in range(heat.rowCount)]
    images = len(result.volumes())
    assert result.referenceNode.GetName() in description
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        if node.GetStorageNode() is None and node.GetSaveWithScene():
            node.AddDefaultStorageNode()
        if node.GetStorageNode() is not None and node.GetSaveWithScene():
            path = tmp_path / f"{node.GetID()}.{node.GetStorageNode().GetDefaultWriteFileExtension()}"
            node.GetStorageNode().SetFileName(str(path))
            assert node.GetStorageNode().WriteData(node), path
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    training_module.enter()
    assert ui.expertSelector.count == 0 and not ui.expertSelector.enabled and not ui.expertsLabel.text
    assert ui.agreementTable.rowCount == 0 and not explained.logic.inputs
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "of another module")
    slicer.util.updateTableFromArray(table, np.eye(2), ["a", "b"])
    crosshair = slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0]
    crosshair.SetCursorPositionRAS([1.0, 2.0, 3.0])
    assert table.GetNumberOfRows() == 2 and len(slicer.util.getNodesByClass("vtkMRMLTableNode")) == 1
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.Connect()
    training_module.enter()
    assert [ui.expertSelector.itemText(n) for n in range(ui.expertSelector.count)] == names
    assert ui.expertsLabel.text == description and ui.expertSelector.enabled
    assert [heat.item(row, 0).text() for row in range(heat.rowCount)] == cells
    assert ui.backgroundSelector.count == images
    assert not ui.attentionButton.enabled and "maps first" in ui.attentionButton.toolTip


def test_mean_of_all_layers_and_a_layer_that_the_model_lacks(explained, desktop, tiny_model, tmp_path, wait):
    from dataclasses import replace

    from magpie_core.models.model import load_model, save_model
    from magpie_core.networks.magpie_net import MagpieNet

    ui, first = explained.ui, explained.model
    tiny = load_model(tiny_model)
    config = replace(tiny.network.config, experts=replace(tiny.network.config.experts, decoder_blocks=(1,)))
    explained.model = str(tmp_path / "two")
    save_model(
        tmp_path / "two",
        replace(tiny.description, network=config.to_dict()),
        MagpieNet(config).state_dict(),
        card="# two",
    )
    ui.explainButton.click()
    wait(lambda: ui.explainButton.enabled)
    assert ui.layerSelector.currentText == "Finest layer" and ui.layerSelector.count == 4
    ui.layerSelector.setCurrentIndex(3)
    ui.explainButton.click()
    wait(lambda: ui.explainButton.enabled)
    assert ui.layerSelector.currentText == "Mean of all layers"
    assert "mean of all layers" in ui.expertsLabel.text and "maps: 2 mm" in ui.expertsLabel.text
    assert len(desktop.slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")) == 1
    ui.layerSelector.setCurrentIndex(2)
    explained.model, before = first, dict(explained.logic.inputs)
    ui.explainButton.click()
    wait(lambda: desktop.errors)
    assert "no layer 'decoder, stage 0'" in desktop.errors[-1] and ui.layerSelector.currentIndex == 2
    assert explained.logic.inputs == before  # those of the maps that are still shown
    ui.layerSelector.setCurrentIndex(0)
    ui.explainButton.click()
    wait(lambda: ui.layerSelector.count == 2)
    assert (
        explained.logic.inputs not in (before, {})
        and "encoder, stage 1" in ui.expertsLabel.text
        and len(desktop.errors) == 1
    )


@pytest.fixture
def explained(training_module, desktop, result, tiny_model, wait, monkeypatch):
    """The Training module with expert maps of a phantom; `explained.model` is the model to use."""
    panel = training_module.panel
    panel.model = str(tiny_model)
    for logic in (panel.logic, panel.attention):
        start = logic.start
        monkeypatch.setattr(logic, "start", lambda *given, start=start: start(*given, model=panel.model, device="cpu"))
    panel.ui.resultSelector.setCurrentNode(result.segmentationNode)
    panel.ui.explainButton.click()
    wait(lambda: panel.ui.expertSelector.count == 4 + 1)
    return panel


def test_expert_maps_over_any_image_in_any_color_table_and_side_by_side(explained, desktop, result, monkeypatch):
    slicer, ui = desktop.slicer, explained.ui
    layers = []
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **options: layers.append(options))
    volumes = list(result.volumes().values())
    names = [ui.backgroundSelector.itemText(n) for n in range(ui.backgroundSelector.count)]
    assert names == [node.GetName() for node in volumes]
    assert ui.backgroundSelector.currentText == result.referenceNode.GetName()
    # A phantom of 20 ml is no brain: the template is not listed, and the tooltip gives the reason.
    assert "hardly any" in ui.backgroundSelector.toolTip.lower()
    ui.backgroundSelector.setCurrentIndex(names.index(volumes[-1].GetName()))
    assert layers[-1]["background"] is volumes[-1]
    colors = explained.logic.colors()
    ui.colorSelector.setCurrentIndex(1)
    assert all(node.GetDisplayNode().GetColorNode() is colors[1] for node in explained.logic.maps())
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    before = logic.GetLayoutNode().GetViewArrangement()
    ui.gridBox.click()
    assert logic.GetViewNodes().GetNumberOfItems() == 4
    grid = explained.experts.grid
    ui.opacitySlider.value = 70
    for number, node in enumerate(explained.logic.maps(), 1):
        composite = grid.composite(number)
        assert composite.GetForegroundVolumeID() == node.GetID()
        assert composite.GetBackgroundVolumeID() == volumes[-1].GetID()
        assert composite.GetForegroundOpacity() == pytest.approx(0.7)
    ui.gridBox.click()
    assert logic.GetLayoutNode().GetViewArrangement() == before
    ui.gridBox.click()
    explained.experts.reset()
    assert logic.GetLayoutNode().GetViewArrangement() == before and not ui.gridBox.checked
    logic.SetMRMLScene(None)


def test_template_is_listed_and_its_coordinates_follow_the_mouse(explained, desktop, result, tmp_path, monkeypatch):
    slicer, ui = desktop.slicer, explained.ui
    layers = []
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **options: layers.append(options))
    maps = [node.GetName() for node in explained.logic.maps()]
    paths = []
    for number in range(len(maps)):
        paths.append(str(tmp_path / f"map{number}.nii"))
        write_volume(Volume(np.full((8, 9, 10), number, np.uint8), np.eye(4)), Path(paths[-1]))
    matrix = np.diag([1.1, 1.2, 1.0, 1.0])
    matrix[:3, 3] = (3, -4, 5)
    explained.experts.showMaps(
        {
            "maps": paths,
            "dominant": paths[1],
            "names": ["", "ED", "", ""],
            "layers": ["encoder, stage 1"],
            "layer": 0,
            "agreement": [
                {
                    "region": "ET",
                    "where": "box",
                    "ious": [0.1, 0.9, 0.2, 0.3],
                    "chance_level": 0.05,
                    "upper_bound": 0.8,
                },
                {
                    "region": "ED",
                    "where": "box",
                    "ious": [0.4, 0.5, 0.6, 0.7],
                    "chance_level": 0.15,
                    "upper_bound": 0.85,
                },
                {"region": "ED", "where": "brain", "ious": [0.0] * 4, "chance_level": 0.0, "upper_bound": 1.0},
            ],
            "token_mm": 4.0,
            "template": {"path": paths[0], "matrix": matrix.tolist()},
            "no_template": "",
            "no_attention": "none",
        },
        result,
    )
    last = ui.backgroundSelector.count - 1
    assert ui.backgroundSelector.itemText(last) == "Template (ICBM 152)"
    ui.backgroundSelector.setCurrentIndex(last)
    template = layers[-1]["background"]
    assert template.GetParentTransformNode() is not None
    maps = [f"Expert {n}" for n in range(1, len(maps) + 1)]
    maps[1] = "Expert 2 (Edema)"
    assert [node.GetName() for node in explained.logic.maps()] == maps
    assert all(node.GetParentTransformNode() is None for node in explained.logic.maps())
    heat = ui.agreementTable
    assert [heat.horizontalHeaderItem(n).text() for n in range(heat.columnCount)] == ["ET", "ED"]
    assert heat.horizontalHeaderItem(0).toolTip() == "Enhancing tumor"
    shown = {
        heat.verticalHeaderItem(row).text(): [heat.item(row, column).text() for column in range(2)]
        for row in range(heat.rowCount)
    }
    assert shown["Expert 2"] == ["0.90", "0.50"] and shown["Expert 4"] == ["0.30", "0.70"]
    assert shown["Chance level"] == ["0.05", "0.15"] and shown["Upper bound"] == ["0.80", "0.85"] and len(shown) == 6
    assert heat.item(1, 0).background().color() != heat.item(0, 0).background().color()
    assert heat.item(5, 0).background().color() == heat.item(4, 0).background().color()  # only experts have colors
    crosshair = slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0]
    crosshair.SetCursorPositionRAS([10.0, 20.0, 30.0])
    assert "14, 20, 35" in ui.templateLabel.text
    crosshair.SetCursorPositionRAS([3.0, 4.0, 5.0])
    assert [ui.mouseTable.item(row, 0).text() for row in range(len(maps))] == maps


def test_attention_points_are_shown_if_the_model_has_attention(explained, desktop, result, tiny_model, tmp_path, wait):
    from dataclasses import replace

    from magpie_core.models.model import load_model, save_model
    from magpie_core.networks.config import LargeKernelConfig, MultiScaleConfig
    from magpie_core.networks.magpie_net import MagpieNet

    slicer, ui = desktop.slicer, explained.ui
    assert not ui.attentionButton.enabled and "no deformable attention" in ui.attentionButton.toolTip
    assert ui.layerSelector.currentText == "Finest layer" and not ui.layerSelector.enabled
    tiny = load_model(tiny_model)
    config = replace(
        tiny.network.config,
        experts=replace(tiny.network.config.experts, decoder_blocks=(1,)),
        large_kernel=LargeKernelConfig(stages=(0,), kernel=3, dilation=2),
        multi_scale=MultiScaleConfig(finer_levels=(0, 1), channels=8, heads=2, points=3),
    )
    description = replace(tiny.description, network=config.to_dict())
    explained.model = str(tmp_path / "attentive")
    save_model(tmp_path / "attentive", description, MagpieNet(config).state_dict(), card="# attentive")
    ui.explainButton.click()
    wait(lambda: ui.attentionButton.enabled)
    assert ui.layerSelector.enabled and ui.layerSelector.count == 2 + 2
    assert ui.layerSelector.currentText == "Finest layer" and "2 mm" in ui.expertsLabel.text
    ui.layerSelector.setCurrentIndex(1)
    ui.explainButton.click()
    wait(lambda: ui.attentionButton.enabled)
    assert ui.layerSelector.currentText == "Layer 1: encoder, stage 1" and "4 mm" in ui.expertsLabel.text
    bounds = np.zeros(6)
    result.referenceNode.GetRASBounds(bounds)
    middle = (bounds[::2] + bounds[1::2]) / 2
    slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0].SetCrosshairRAS(middle.tolist())
    ui.attentionButton.click()
    assert not ui.attentionButton.enabled
    wait(lambda: ui.attentionButton.enabled)
    assert not desktop.errors and "2 layers" in ui.expertsLabel.text
    models = explained.attention.models()
    assert sorted(node.GetPolyData().GetNumberOfLines() for node in models) == [12, 27]
    for node in models:
        assert np.abs(np.array(node.GetPolyData().GetPoint(0)) - middle).max() < 60
    slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0].SetCrosshairRAS([900.0, 0.0, 0.0])
    ui.attentionButton.click()
    wait(lambda: desktop.errors)
    assert "outside the brain" in desktop.errors[-1] and ui.attentionButton.enabled


def test_versions_are_listed_verified_exported_promoted_and_rolled_back(
    training_module, desktop, site, tiny_model, tmp_path, monkeypatch
):
    import qt

    VersionStore(site).add("ours", tiny_model, {"verdict": ["Over all regions 2.0 points gained."]})
    panel, ui = training_module.panel, training_module.panel.ui
    panel.versions.update()
    assert ui.versionsTable.rowCount == 2 and "2.0 points" in ui.versionsTable.item(1, 2).text()
    ui.versionsTable.selectRow(1)
    assert ui.useButton.enabled and "# tiny" in ui.cardLabel.text
    ui.verifyButton.click()
    assert "complete and unchanged" in ui.cardLabel.text
    panel.versions.exportTo(tmp_path)
    assert (tmp_path / "ours" / "weights.safetensors").is_file()
    answers = [False, True]
    monkeypatch.setattr(qt.QInputDialog, "exec_", lambda dialog: answers.pop(0), raising=False)
    monkeypatch.setattr(qt.QInputDialog, "textValue", lambda dialog: "better on our cases")
    ui.versionsTable.selectRow(1)
    ui.useButton.click()
    assert ui.versionsTable.item(1, 1).text() == ""  # the dialog was cancelled
    ui.useButton.click()
    assert ui.versionsTable.item(1, 1).text() == "in use" and ui.backButton.enabled
    ui.backButton.click()
    assert ui.versionsTable.item(0, 1).text() == "in use" and not desktop.errors
    weights = VersionStore(site).version("ours").model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    ui.versionsTable.selectRow(1)
    ui.verifyButton.click()
    assert desktop.errors


def test_a_version_in_use_that_is_gone_is_told_and_the_buttons_lead_back(
    training_module, desktop, site, tiny_model, monkeypatch
):
    import qt

    store = VersionStore(site)
    for name in ("one", "two"):
        store.add(name, tiny_model, {"verdict": ["Better."]})
        store.promote(name, reason="better")
    shutil.rmtree(site / "versions" / "two")
    evidence = store.version("one").evidence / "record.json"
    evidence.write_text(evidence.read_text() + " ")
    panel, ui = training_module.panel, training_module.panel.ui
    panel.versions.update()
    texts = [[ui.versionsTable.item(row, column).text() for column in range(3)] for row in range(3)]
    assert texts[2][:2] == ["two", "in use"] and "no version" in texts[2][2] and "damaged" in texts[1][2]
    assert ui.backButton.enabled
    ui.backButton.click()
    assert ui.versionsTable.item(1, 1).text() == "in use" and ui.versionsTable.rowCount == 2 and not desktop.errors
    shutil.rmtree(site / "versions" / "one")
    monkeypatch.setattr(qt.QInputDialog, "exec_", lambda dialog: True, raising=False)
    monkeypatch.setattr(qt.QInputDialog, "textValue", lambda dialog: "ours is gone")
    panel.versions.update()
    ui.versionsTable.selectRow(0)
    assert ui.useButton.enabled
    ui.useButton.click()
    assert store.active is None and ui.versionsTable.item(0, 1).text() == "in use" and not desktop.errors
    ui.versionsTable.selectRow(0)
    assert not ui.useButton.enabled


def test_cohort_is_listed_and_verified(training_module, desktop, make_study, tmp_path, monkeypatch):
    import qt

    from magpie_core.cohort.cohort import Cohort
    from magpie_core.imaging.label_schema import label_schema
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.io.segmentation_file import write_segmentation

    ui = training_module.panel.ui
    (tmp_path / "cohort").mkdir()
    ui.cohortPath.currentPath = str(tmp_path / "cohort")
    assert "No cases yet" in ui.cohortLabel.text
    ui.cohortPath.currentPath = str(tmp_path)
    assert "is not a cohort" in ui.cohortLabel.text
    cohort = Cohort.create(tmp_path / "cohort")
    study = make_study()
    volume = study.volumes[study.reference]
    labels = np.zeros(volume.shape, np.uint8)
    labels[8:14, 16:22, 10:16] = 3
    case = cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient="7", user="Ada")
    ui.cohortPath.currentPath = str(cohort.folder)
    assert ui.cohortLabel.text == "1 cases of 1 patients" and ui.casesTable.item(0, 1).text().startswith("Ada\n20")
    ui.checkCasesButton.click()
    assert "complete and unchanged" in ui.cohortLabel.text
    assert not ui.acceptEditButton.enabled
    labels[8] = 0
    write_segmentation(Segmentation(labels, volume.affine, label_schema("magpie")), case.labels)
    ui.checkCasesButton.click()
    assert "was changed" in ui.cohortLabel.text
    monkeypatch.setattr(qt.QInputDialog, "exec_", lambda dialog: True, raising=False)
    reasons = ["", "border corrected"]
    monkeypatch.setattr(qt.QInputDialog, "textValue", lambda dialog: reasons.pop(0))
    ui.casesTable.selectRow(0)
    ui.acceptEditButton.click()
    assert "needs a reason" in ui.cohortLabel.text
    ui.acceptEditButton.click()
    assert "is accepted" in ui.cohortLabel.text and cohort.check() == []
    case.labels.unlink()
    ui.checkCasesButton.click()
    assert "missing" in ui.cohortLabel.text


def test_missing_packages_are_named_and_installed_at_the_press_of_a_button(training_module, desktop, monkeypatch):
    panel, ui = training_module.panel, training_module.panel.ui

    class Missing:
        text = "Python packages are missing: monai."
        problem, canInstall = lambda self: self.text, lambda self: True  # noqa: E731

        def install(self):
            if self.text == "declined":
                raise Cancelled()
            self.text = ""

    panel._installLogic = Missing()
    training_module.enter()
    assert "monai" in ui.packagesLabel.text and panel.isBound
    sections = (ui.cohortSection, ui.trainingSection, ui.expertsSection, ui.modelsSection)
    assert not any(section.isVisibleTo(ui.installButton.parentWidget()) for section in sections)
    panel._installLogic.text = "declined"
    ui.installButton.click()
    assert not desktop.errors and not ui.cohortSection.isVisibleTo(ui.installButton.parentWidget())
    panel._installLogic.text = "missing"
    ui.installButton.click()
    assert all(section.isVisibleTo(ui.installButton.parentWidget()) for section in sections)


def test_leaving_the_module_ends_its_timer_and_observers(training_module, desktop):
    crosshair = desktop.slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0]
    panel = training_module.panel
    event = crosshair.CursorPositionModifiedEvent
    assert panel.isBound and panel._logTimer.isActive() and crosshair.HasObserver(event)
    training_module.exit()
    assert not panel.isBound and not panel._logTimer.isActive() and not panel._pollTimer.isActive()
    assert not crosshair.HasObserver(event)


def test_the_test_of_the_module_fails_without_a_panel(training_module, desktop, monkeypatch):
    import MagpieTraining

    monkeypatch.setattr(desktop.slicer.modules, "MagpieTrainingWidget", training_module, raising=False)
    test = MagpieTraining.MagpieTrainingTest("runTest")
    test.runTest()
    training_module.exit()
    with pytest.raises(AssertionError):
        test.runTest()


def test_reload_imports_the_library_anew(training_module, desktop, monkeypatch):
    import sys

    reloaded = []
    monkeypatch.setattr(desktop.slicer.util, "reloadScriptedModule", reloaded.append)
    training_module.moduleName = "MagpieTraining"
    training_module.onReload()
    assert reloaded == ["MagpieTraining"] and "MagpieTrainingLib.TrainingPanel" not in sys.modules


def test_maps_are_not_computed_before_the_weights_are_chosen(training_module, result, desktop, monkeypatch):
    from MagpieSegmentationLib import ModelChoice

    asked = []
    monkeypatch.delenv("MAGPIE_DEFAULT_MODEL")
    monkeypatch.setattr(ModelChoice, "askModel", lambda: asked.append(1) or "")
    ui = training_module.panel.ui
    ui.resultSelector.setCurrentNode(result.segmentationNode)
    ui.explainButton.click()
    assert len(asked) == 1 and not training_module.panel.logic.explaining.isRunning and not desktop.errors
