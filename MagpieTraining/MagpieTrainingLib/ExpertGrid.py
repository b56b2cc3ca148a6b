"""All experts side by side, one slice view each."""

import slicer

_LAYOUT = 5801  # not used by Slicer or other extensions
_EXPERTS = 8  # of the default models
_COLUMNS = 4
_NARROWEST_PIXELS = 220  # a column; the bar over a view would ask for more and so widen the window
_VIEWS = "MagpieExpert{}"
_GROUP = 58


class ExpertGrid:
    """A layout of linked axial slice views, each with the map of one expert over the same image."""

    def __init__(self):
        self._previous = None

    @property
    def isShown(self):
        """Whether this layout is shown."""
        layout = self._layout()
        return layout is not None and layout.GetViewArrangement() == _LAYOUT

    def show(self, maps, background, opacity):
        """Show each map over a volume (None to keep the volume of each view); `opacity` is 0 to 1."""
        layout = self._layout()
        if layout is None or not maps:
            return
        for number, node in enumerate(maps, 1):
            composite = self.composite(number) or self._makeComposite(number)
            composite.SetForegroundVolumeID(node.GetID())
            composite.SetForegroundOpacity(opacity)
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)
            if background is not None:
                composite.SetBackgroundVolumeID(background.GetID())
        self.register(len(maps))
        if not self.isShown:
            self._previous = layout.GetViewArrangement()
            layout.SetViewArrangement(_LAYOUT)
            self._fit(len(maps), background or maps[0])

    def hide(self):
        """Restore the previous layout."""
        layout = self._layout()
        if layout is not None and self.isShown:
            default = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
            layout.SetViewArrangement(self._previous if self._previous is not None else default)

    @classmethod
    def registerAtStart(cls):
        """Make the layout known as soon as Slicer has layouts, before any scene is loaded."""
        scene = slicer.mrmlScene

        def register(*_ignored):
            if cls._layout() is not None:
                scene.RemoveObserver(tag)
                cls.register()

        tag = scene.AddObserver(scene.NodeAddedEvent, register)
        register()

    @classmethod
    def register(cls, count=_EXPERTS):
        """Make the layout known to Slicer: a scene that was saved in it opens only then."""
        layout = cls._layout()
        if layout is None:
            return
        manager = slicer.app.layoutManager()
        width = manager.viewport().width if manager is not None else _COLUMNS * _NARROWEST_PIXELS
        description = cls.description(count, min(_COLUMNS, max(1, width // _NARROWEST_PIXELS)))
        if not layout.IsLayoutDescription(_LAYOUT):
            layout.AddLayoutDescription(_LAYOUT, description)
        elif layout.GetLayoutDescription(_LAYOUT) != description:
            layout.SetLayoutDescription(_LAYOUT, description)

    @staticmethod
    def description(count, columns):
        """Return the layout description (XML) of `count` views in rows of `columns`."""
        view = (
            '<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
            '<property name="orientation" action="default">Axial</property>'
            '<property name="viewlabel" action="default">{number}</property>'
            '<property name="viewcolor" action="default">#5C6BC0</property>'
            '<property name="viewgroup" action="default">{group}</property>'
            "</view></item>"
        )
        rows = []
        for first in range(1, count + 1, columns):
            numbers = range(first, min(first + columns, count + 1))
            views = "".join(view.format(name=_VIEWS.format(number), number=number, group=_GROUP) for number in numbers)
            rows.append(f'<item><layout type="horizontal">{views}</layout></item>')
        return f'<layout type="vertical">{"".join(rows)}</layout>'

    @staticmethod
    def composite(number):
        """Return the vtkMRMLSliceCompositeNode of an expert (from 1); None before it was shown."""
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if node.GetLayoutName() == _VIEWS.format(number):
                return node
        return None

    @staticmethod
    def _makeComposite(number):
        # Slicer's slice logic takes the composite node with the name of its view.
        node = slicer.vtkMRMLSliceCompositeNode()
        node.SetLayoutName(_VIEWS.format(number))
        return slicer.mrmlScene.AddNode(node)

    @classmethod
    def _fit(cls, count, volume):
        """Fit the views on the whole slice of the volume that the red view shows, else on its middle slice."""
        manager = slicer.app.layoutManager()
        widgets = [manager.sliceWidget(_VIEWS.format(number)) for number in range(1, count + 1)] if manager else []
        for widget in widgets:
            widget.setMinimumWidth(1)
        slicer.app.processEvents()  # the views have no size before
        for widget in widgets:
            widget.fitSliceToBackground()
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        place = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
        if red is not None and red.GetOrientation() == "Axial" and bounds[4] < red.GetSliceOffset() < bounds[5]:
            place[2] = red.GetSliceOffset()
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if node.GetLayoutName().startswith(_VIEWS.format("")):
                node.JumpSliceByCentering(*place)

    @staticmethod
    def _layout():
        nodes = slicer.util.getNodesByClass("vtkMRMLLayoutNode")
        return nodes[0] if nodes else None
