"""Slicer without windows: scene and logics of slicer-core, under the names of desktop Slicer.

Stand-ins of desktop Slicer, which the tests here do not verify: `slicer.i18n` (returns the text), `slicer.app` (only
the members below) and `slicer.modules` (logics only, no widgets). The terminologies of desktop Slicer are not in
slicer-core, so that only those of the project are loaded.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import slicer
import slicer.util
import vtk

# Name in slicer.modules: (name of the module, class of its logic, folder of its share directory).
_LOGICS = {
    "colors": ("Colors", "vtkMRMLColorLogic", ""),
    "volumes": ("Volumes", "vtkSlicerVolumesLogic", ""),
    "terminologies": ("Terminologies", "vtkSlicerTerminologiesModuleLogic", "terminologies"),
    "segmentations": ("Segmentations", "vtkSlicerSegmentationsModuleLogic", ""),
    "subjecthierarchy": ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic", ""),
    "transforms": ("Transforms", "vtkSlicerTransformLogic", ""),
    "tables": ("Tables", "vtkSlicerTablesLogic", ""),
    "plots": ("Plots", "vtkSlicerPlotsLogic", ""),
}


def start_slicer(folder: Path) -> types.ModuleType:
    """Add the members of desktop Slicer that need no Qt to `slicer`.

    Parameters
    ----------
    folder
        Empty folder for the share directory and temporary files.

    Returns
    -------
    module
        `slicer`, with `mrmlScene`, `app` and `modules`.
    """
    _log_to_standard_error()
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    modules = types.SimpleNamespace()
    for attribute, (name, class_name, share) in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        if hasattr(logic, "SetModuleShareDirectory"):
            (folder / share).mkdir(parents=True, exist_ok=True)
            logic.SetModuleShareDirectory(str(folder / share))
        logic.SetMRMLApplicationLogic(application)
        with _quiet():  # slicer-core ships no terminologies of its own
            logic.SetMRMLScene(scene)
        application.SetModuleLogic(name, logic)
        setattr(modules, attribute, types.SimpleNamespace(logic=lambda logic=logic: logic))
    modules.colors.logic().AddDefaultColorNodes()
    files = slicer.vtkMRMLRemoteIOLogic()
    files.SetMRMLScene(scene)
    files.AddDataIOToScene()
    cache = folder / "cache"
    cache.mkdir()
    (cache / ".slicer-cache").touch()  # marks a cache folder of Slicer
    files.GetCacheManager().SetRemoteCacheDirectory(str(cache))
    values: dict[str, str] = {}
    settings = types.SimpleNamespace(value=values.get, setValue=values.__setitem__)
    slicer.mrmlScene = scene
    slicer.modules = modules
    slicer.app = types.SimpleNamespace(
        applicationLogic=lambda: application,
        mrmlScene=lambda: scene,
        processEvents=lambda *flags: None,
        pauseRender=lambda: None,
        resumeRender=lambda: None,
        layoutManager=lambda: None,
        testingEnabled=lambda: True,
        translate=lambda context, text: text,
        majorVersion=5,
        minorVersion=12,
        applicationVersion="5.12.4",
        userSettings=lambda: settings,
        temporaryPath=str(folder),
        remoteIOLogic=lambda: files,
    )
    translation = types.ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    sys.modules.setdefault("slicer.i18n", translation)
    return slicer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()


def _log_to_standard_error() -> None:
    window = vtk.vtkOutputWindow()
    window.SetDisplayModeToAlwaysStdErr()
    vtk.vtkOutputWindow.SetInstance(window)
