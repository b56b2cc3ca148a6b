"""All experts side by side, one slice view each."""

import slicer

_LAYOUT = 5801  # not used by Slicer or other extensions
_COLUMNS = 4
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
        if layout.IsLayoutDescription(_LAYOUT):
            layout.SetLayoutDescription(_LAYOUT, self.description(len(maps)))
        else:
            layout.AddLayoutDescription(_LAYOUT, self.description(len(maps)))
        if not self.isShown:
            self._previous = layout.GetViewArrangement()
            layout.SetViewArrangement(_LAYOUT)
            self._center(background or maps[0])

    def hide(self):
        """Restore the previous layout."""
        layout = self._layout()
        if layout is not None and self.isShown:
            default = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
            layout.SetViewArrangement(self._previous if self._previous is not None else default)

    @staticmethod
    def description(count):
        """Return the layout description (XML) of `count` views."""
        view = (
            '<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
            '<property name="orientation" action="default">Axial</property>'
            '<property name="viewlabel" action="default">{number}</property>'
            '<property name="viewcolor" action="default">#5C6BC0</property>'
            '<property name="viewgroup" action="default">{group}</property>'
            "</view></item>"
        )
        rows = []
        for first in range(1, count + 1, _COLUMNS):
            numbers = range(first, min(first + _COLUMNS, count + 1))
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

    @staticmethod
    def _center(volume):
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        width, height = bounds[1] - bounds[0], bounds[3] - bounds[2]
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if node.GetLayoutName().startswith(_VIEWS.format("")):
                columns, rows, _depth = node.GetDimensions()
                mmPerPixel = max(width / max(columns, 1), height / max(rows, 1))
                node.SetFieldOfView(columns * mmPerPixel, rows * mmPerPixel, node.GetFieldOfView()[2])
                node.JumpSliceByCentering(*middle)

    @staticmethod
    def _layout():
        nodes = slicer.util.getNodesByClass("vtkMRMLLayoutNode")
        return nodes[0] if nodes else None
