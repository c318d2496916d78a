"""Which nodes a node selector lists (Libs/MRML/Widgets/qMRMLSortFilterProxyModel.cxx)."""

import dataclasses

from slicer_core import vtkMRMLNode


@dataclasses.dataclass
class NodeFilter:
    """Types with or without their child types, hidden nodes, and an attribute that nodes of a type must have.

    types: class names, none for all. hidden_child_types: left out although they are children of a listed type.
    attributes: name and wanted value (None for any) by type.
    """

    types: list[str] = dataclasses.field(default_factory=list)
    show_children: bool = True
    show_hidden: bool = False
    hidden_child_types: list[str] = dataclasses.field(default_factory=list)
    attributes: dict[str, tuple[str, str | None]] = dataclasses.field(default_factory=dict)

    def accepts(self, node: vtkMRMLNode) -> bool:
        """Whether the node is listed."""
        if node.GetHideFromEditors() and not self.show_hidden:
            return False
        if not self.types:
            return True
        for kind in self.types:
            if not node.IsA(kind) or (not self.show_children and node.GetClassName() != kind):
                continue
            if self.show_children and any(node.IsA(hidden) for hidden in self.hidden_child_types):
                return False
            return self._has_attribute(node, kind)
        return False

    def concerns(self, node: vtkMRMLNode) -> bool:
        """Whether the node might come to be listed when it changes."""
        return not self.types or any(node.IsA(kind) for kind in self.types)

    def _has_attribute(self, node: vtkMRMLNode, kind: str) -> bool:
        if kind not in self.attributes:
            return True
        name, value = self.attributes[kind]
        found = node.GetAttribute(name)
        return found is not None and value in (None, found)
