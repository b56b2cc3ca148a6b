"""All experts side by side, one small view each."""

import slicer

_LAYOUT = 5801  # any number that Slicer and other extensions do not use
_COLUMNS = 4
_VIEWS = "MagpieExpert{}"
_GROUP = 58


class ExpertGrid:
    """A layout of axial slice views, each with the map of one expert over the same image; they scroll together."""

    def __init__(self):
        self._before = None

    @property
    def isShown(self):
        """Whether the layout is the one on the screen."""
        layout = self._layout()
        return layout is not None and layout.GetViewArrangement() == _LAYOUT

    def show(self, maps, background, opacity):
        """Lay each map over a volume (None for what each view shows now); `opacity` is 0 to 1."""
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
            self._before = layout.GetViewArrangement()
            layout.SetViewArrangement(_LAYOUT)
            self._center(background or maps[0])

    def hide(self):
        """Back to the layout of before."""
        layout = self._layout()
        if layout is not None and self.isShown:
            default = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
            layout.SetViewArrangement(self._before if self._before is not None else default)

    @staticmethod
    def description(count):
        """The layout of `count` views as Slicer's layout manager reads it (XML)."""
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
            views = "".join(
                view.format(name=_VIEWS.format(number), number=number, group=_GROUP) for number in numbers
            )
            rows.append(f'<item><layout type="horizontal">{views}</layout></item>')
        return f'<layout type="vertical">{"".join(rows)}</layout>'

    @staticmethod
    def composite(number):
        """What the view of an expert (from 1) shows, a vtkMRMLSliceCompositeNode; None before it was shown."""
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if node.GetLayoutName() == _VIEWS.format(number):
                return node
        return None

    @staticmethod
    def _makeComposite(number):
        # Slicer's slice logic takes the composite node that bears the name of its view.
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
