"""qMRMLNodeComboBox on the real scene: which nodes it lists, which it selects when they come and go, and its signals.

The selection follows Qt's combo box over Slicer's scene model (Libs/MRML/Widgets/qMRMLNodeComboBox.cxx): the first node
is taken when the list was empty and holds no other items; a removed node hands the selection to its neighbour.
"""

from typing import Any, ClassVar

import vtk
from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QWidget
from slicer_core import vtkMRMLNode, vtkMRMLScene

from . import signals
from .nodefilter import NodeFilter


def _filter_property(kind: Any, name: str) -> Property:
    def write(self: Any, value: Any) -> None:
        setattr(self._filter, name, value)
        self._refilter()

    return Property(kind, lambda self: getattr(self._filter, name), write)


def _flag(name: str) -> Property:
    return Property(bool, lambda self: self._flags[name], lambda self, value: self._set_flag(name, value))


class qMRMLNodeComboBox(QWidget):
    """Chooses a node of the scene."""

    current_node_changed = Signal(object)
    current_valid_changed = Signal(bool)
    node_added = Signal(object)
    node_added_by_user = Signal(object)
    node_activated = Signal(object)
    node_about_to_be_removed = Signal(object)
    node_about_to_be_edited = Signal(object)
    currentNodeIDChanged = Signal(str)
    currentNodeRenamed = Signal(str)
    host_signals: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "current_node_changed",
        "currentNodeChanged(bool)": "current_valid_changed",
        "nodeAdded(vtkMRMLNode*)": "node_added",
        "nodeAddedByUser(vtkMRMLNode*)": "node_added_by_user",
        "nodeActivated(vtkMRMLNode*)": "node_activated",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "node_about_to_be_removed",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "node_about_to_be_edited",
    }
    host_slots: ClassVar = {
        "setMRMLScene(vtkMRMLScene*)": "setMRMLScene",
        "setCurrentNode(vtkMRMLNode*)": "setCurrentNode",
    }

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Fixed)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Expanding)
        self._combo.activated.connect(self._activated)
        self._scene: vtkMRMLScene | None = None
        self._scene_tags: list[int] = []
        self._node_tags: dict[str, tuple[vtkMRMLNode, int]] = {}
        self._ids: list[str] = []
        self._current = ""
        self._requested = ""
        self._filter = NodeFilter()
        self._factory_attributes: dict[str, str] = {}
        self._base_names: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._menu_actions: list[Any] = []
        self._flags = {
            "none": False,
            "add": True,
            "remove": True,
            "edit": False,
            "rename": False,
            "select": True,
        }
        self._none_display = "None"
        self.setEnabled(False)

    # --- scene

    def mrmlScene(self) -> vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: vtkMRMLScene | None) -> None:
        if scene is self._scene:
            return
        had_nodes = bool(self._ids)
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene_tags = []
        self._scene = scene
        if scene is not None:
            for event, handler in (
                (vtkMRMLScene.NodeAddedEvent, self._on_node_added),
                (vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_node_about_to_be_removed),
            ):
                self._scene_tags.append(scene.AddObserver(event, handler))
        self._ids = self._accepted_ids()
        self._observe_nodes()
        wanted = (
            self._current
            if had_nodes
            else self._requested or (self._ids[0] if self._ids and not self._flags["none"] else "")
        )
        self._requested = ""
        self.setEnabled(scene is not None)
        self._select(wanted if wanted in self._ids else "")

    def _accepted_ids(self) -> list[str]:
        if self._scene is None:
            return []
        nodes = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        return [node.GetID() for node in nodes if self._filter.accepts(node)]

    def _observe_nodes(self) -> None:
        for node, tag in self._node_tags.values():
            node.RemoveObserver(tag)
        self._node_tags = {}
        if self._scene is None:
            return
        for index in range(self._scene.GetNumberOfNodes()):
            self._observe(self._scene.GetNthNode(index))

    def _observe(self, node: vtkMRMLNode) -> None:
        if self._filter.concerns(node):
            self._node_tags[node.GetID()] = (
                node,
                node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_node_modified),
            )

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, caller: Any, event: str, node: vtkMRMLNode) -> None:
        self._observe(node)
        if not self._filter.accepts(node):
            return
        alone = not self._ids and not self._other_items()
        self._ids = self._accepted_ids()
        self.node_added.emit(node)
        if alone and not self._current:
            self._select(node.GetID())
        else:
            self._show()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_about_to_be_removed(self, caller: Any, event: str, node: vtkMRMLNode) -> None:
        _, tag = self._node_tags.pop(node.GetID(), (None, None))
        if tag is not None:
            node.RemoveObserver(tag)
        if node.GetID() in self._ids:
            self.node_about_to_be_removed.emit(node)
            self._drop(node.GetID())

    def _on_node_modified(self, caller: vtkMRMLNode, event: str) -> None:
        listed = caller.GetID() in self._ids
        accepted = self._filter.accepts(caller)
        if listed and not accepted:
            self._drop(caller.GetID())
        elif accepted and not listed:
            self._ids = self._accepted_ids()
            self._show()
        elif listed:
            self._show()

    def _drop(self, identity: str) -> None:
        row = self._ids.index(identity)
        self._ids.remove(identity)
        if identity != self._current:
            self._show()
        elif not self._ids:
            self._select("")
        else:
            self._select(self._ids[min(row, len(self._ids) - 1)])

    def _refilter(self) -> None:
        self._ids = self._accepted_ids()
        self._observe_nodes()
        if self._current and self._current not in self._ids:
            self._select("")
        elif not self._current and self._ids and not self._other_items() and self._scene is not None:
            self._select(self._ids[0])
        else:
            self._show()

    # --- selection

    def _other_items(self) -> bool:
        return any(self._flags[name] for name in ("none", "add", "remove", "edit", "rename")) or bool(
            self._menu_actions
        )

    def _select(self, identity: str) -> None:
        changed = identity != self._current
        self._current = identity
        self._show()
        if changed:
            node = self.currentNode()
            self.current_node_changed.emit(node)
            self.current_valid_changed.emit(node is not None)
            self.currentNodeIDChanged.emit(identity)

    def _actions(self) -> list[tuple[str, str]]:
        """(text, what it does) of the items under the nodes."""
        label = self.nodeTypeLabel(self._filter.types[0] if len(self._filter.types) == 1 else "")
        items = [(f"Rename current {label}", "RENAME")] if self._flags["rename"] else []
        items += [(f"Edit current {label}", "EDIT")] if self._flags["edit"] else []
        if self._flags["add"]:
            items += [(f"Create new {self.nodeTypeLabel(kind)}", f"CREATE/{kind}") for kind in self._filter.types]
        items += [(f"Delete current {label}", "DELETE")] if self._flags["remove"] else []
        return items + [(action.text(), f"USER/{index}") for index, action in enumerate(self._menu_actions)]

    def _show(self) -> None:
        """Bring the visible list up to date."""
        self._combo.clear()
        if self._scene is None:
            return
        if self._flags["none"]:
            self._combo.addItem(self._none_display, "")
        for identity in self._ids:
            node = self._scene.GetNodeByID(identity)
            self._combo.addItem(node.GetName() if node is not None and node.GetName() else "", identity)
        actions = self._actions() if self._other_items() else []
        if actions:
            self._combo.insertSeparator(self._combo.count())
            for text, what in actions:
                self._combo.addItem(text, f"ACTION/{what}")
        self._combo.setPlaceholderText(
            f"Select a {self.nodeTypeLabel(self._filter.types[0] if self._filter.types else '')}"
        )
        self._combo.setCurrentIndex(self._combo.findData(self._current) if self._current or self._flags["none"] else -1)

    def _activated(self, index: int) -> None:
        what = self._combo.itemData(index) or ""
        if not what.startswith("ACTION/"):
            self._select(what)
            self.node_activated.emit(self.currentNode())
            return
        self._show()
        verb, _, argument = what.removeprefix("ACTION/").partition("/")
        if verb == "CREATE":
            self._create(argument)
        elif verb == "DELETE":
            self.removeCurrentNode()
        elif verb == "EDIT":
            self.editCurrentNode()
        elif verb == "RENAME":
            self.renameCurrentNode()
        else:
            self._menu_actions[int(argument)].trigger()

    # --- slots and invokables

    def currentNode(self) -> vtkMRMLNode | None:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node: vtkMRMLNode | None) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None and node.GetID() else "")

    def setCurrentNodeID(self, nodeID: str) -> None:
        if self._scene is None:
            self._requested = nodeID
        self._select(nodeID if nodeID in self._ids else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(self._ids[index] if 0 <= index < len(self._ids) else "")

    def nodeCount(self) -> int:
        return len(self._ids)

    def nodeFromIndex(self, index: int) -> vtkMRMLNode | None:
        return (
            self._scene.GetNodeByID(self._ids[index])
            if self._scene is not None and 0 <= index < len(self._ids)
            else None
        )

    def addNode(self, nodeType: str = "") -> vtkMRMLNode | None:
        return self._create(nodeType or (self._filter.types[0] if self._filter.types else ""))

    def _create(self, kind: str) -> vtkMRMLNode | None:
        if kind not in self._filter.types or self._scene is None:
            return None
        node = self._scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        base = self._base_names.get(kind) or self.nodeTypeLabel(kind)
        node.SetName(self._scene.GetUniqueNameByString(base))
        for name, value in self._factory_attributes.items():
            node.SetAttribute(name, value)
        self._scene.AddNode(node)
        if self._flags["select"]:
            self.setCurrentNode(node)
        self.node_added_by_user.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self._scene is not None:
            self._scene.RemoveNode(self.currentNode())

    def editCurrentNode(self) -> None:
        self.node_about_to_be_edited.emit(self.currentNode())

    def renameCurrentNode(self) -> None:
        raise NotImplementedError("the test host shows no input dialogs: use node.SetName")

    def addAttribute(self, nodeType: str, attributeName: str, attributeValue: Any = None) -> None:
        value = None if attributeValue is None else str(attributeValue)
        self._factory_attributes[attributeName] = value or ""
        self._filter.attributes[nodeType] = (attributeName, value)
        self._refilter()

    def removeAttribute(self, nodeType: str, attributeName: str) -> None:
        self._factory_attributes.pop(attributeName, None)
        if self._filter.attributes.get(nodeType, ("",))[0] == attributeName:
            del self._filter.attributes[nodeType]
        self._refilter()

    def setNodeTypeLabel(self, label: str, nodeType: str) -> None:
        self._labels[nodeType] = label
        self._show()

    def nodeTypeLabel(self, nodeType: str) -> str:
        if self._labels.get(nodeType):
            return self._labels[nodeType]
        found = self._scene.GetTypeDisplayNameByClassName(nodeType) if self._scene is not None and nodeType else ""
        return found or "node"

    def addMenuAction(self, newAction: Any) -> None:
        self._menu_actions.append(newAction)
        self._show()

    # --- properties

    def _set_flag(self, name: str, value: bool) -> None:
        if self._flags[name] == value:
            return
        self._flags[name] = value
        self._show()

    def _set_types(self, types: list[str]) -> None:
        self._filter.types = [kind for kind in types if kind]
        self._refilter()

    def _set_base_name(self, name: str) -> None:
        if not self._filter.types:
            signals.warn("qMRMLNodeComboBox::setBaseName failed: no node types have been set yet")
        for kind in self._filter.types:
            self._base_names[kind] = name

    def _set_none_display(self, text: str) -> None:
        self._none_display = text
        self._show()

    nodeTypes = Property("QStringList", lambda self: self._filter.types, _set_types)
    hideChildNodeTypes = _filter_property("QStringList", "hidden_child_types")
    baseName = Property(
        str, lambda self: self._base_names.get(self._filter.types[0], "") if self._filter.types else "", _set_base_name
    )
    currentNodeID = Property(str, lambda self: self._current, lambda self, value: self.setCurrentNodeID(value))
    noneDisplay = Property(str, lambda self: self._none_display, _set_none_display)
    noneEnabled = _flag("none")
    addEnabled = _flag("add")
    removeEnabled = _flag("remove")
    editEnabled = _flag("edit")
    renameEnabled = _flag("rename")
    showHidden = _filter_property(bool, "show_hidden")
    showChildNodeTypes = _filter_property(bool, "show_children")
    selectNodeUponCreation = _flag("select")
    sizeAdjustPolicy = Property(
        int,
        lambda self: self._combo.sizeAdjustPolicy().value,
        lambda self, value: self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy(value)),
    )
