"""The agreement of the experts with the regions, as a table node."""

import slicer
import vtk
from slicer.i18n import tr as _

from .SceneNodes import createNode, findNode

_MARK = "MAGPIE.expertTable"


class ExpertTables:
    """A table of experts and regions, which is saved with the scene and can be copied and plotted as any table."""

    @staticmethod
    def node():
        """Return the table node; None if there is none."""
        return findNode("vtkMRMLTableNode", _MARK, "regions")

    def setRegions(self, study, columns, rows):
        """Store rows of (name, numbers) of a study with column names; without columns the table is removed."""
        node = self.node()
        if not columns:
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
            return
        if node is None:
            node = createNode("vtkMRMLTableNode", "", _MARK, "regions")
            node.SetUseColumnTitleAsColumnHeader(True)
            node.SetLocked(True)
        node.SetName(_("Experts and regions: {study}").format(study=study))
        table = vtk.vtkTable()
        names = vtk.vtkStringArray()
        names.SetName("overlap_of")
        for name, _numbers in rows:
            names.InsertNextValue(name)
        table.AddColumn(names)
        for index, column in enumerate(columns):
            values = vtk.vtkDoubleArray()
            values.SetName(column)
            for _name, numbers in rows:
                values.InsertNextValue(numbers[index])
            table.AddColumn(values)
        node.SetAndObserveTable(table)
        node.SetColumnTitle("overlap_of", _("Overlap of"))
        for column in columns:
            node.SetColumnTitle(column, column)

    def regions(self):
        """Return the stored column names and rows of (name, numbers); empty if there are none."""
        node = self.node()
        if node is None:
            return [], []
        table = node.GetTable()
        columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
        rows = [
            (columns[0].GetValue(row), [column.GetValue(row) for column in columns[1:]])
            for row in range(table.GetNumberOfRows())
        ]
        return [column.GetName() for column in columns[1:]], rows
