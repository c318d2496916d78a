"""The node selector on the real scene."""

import pytest
import slicer

SCALAR, LABELS, SEGMENTS = "vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode", "vtkMRMLSegmentationNode"


def selector(scene, types=(SCALAR,), **properties):
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = list(types)
    for name, value in properties.items():
        setattr(combo, name, value)
    combo.setMRMLScene(scene)
    return combo


def names(combo):
    return [combo.nodeFromIndex(index).GetName() for index in range(combo.nodeCount())]


@pytest.fixture
def two(scene):
    return scene.AddNewNodeByClass(SCALAR, "A"), scene.AddNewNodeByClass(SCALAR, "B")


def test_lists_the_types_and_leaves_children_out_when_told(scene, two):
    scene.AddNewNodeByClass(LABELS, "L")
    scene.AddNewNodeByClass(SEGMENTS, "S")
    assert names(selector(scene)) == ["A", "B", "L"]
    assert names(selector(scene, showChildNodeTypes=False)) == ["A", "B"]
    assert names(selector(scene, hideChildNodeTypes=[LABELS])) == ["A", "B"]
    assert names(selector(scene, types=[LABELS, SEGMENTS])) == ["L", "S"]


def test_hidden_nodes_are_listed_only_when_asked_for(scene, two):
    two[0].SetHideFromEditors(True)
    assert names(selector(scene)) == ["B"]
    assert names(selector(scene, showHidden=True)) == ["A", "B"]


def test_attribute_filter_follows_the_nodes(scene, two):
    combo = selector(scene, noneEnabled=True)
    combo.addAttribute(SCALAR, "Kind", "synthetic")
    assert names(combo) == []
    two[1].SetAttribute("Kind", "synthetic")
    assert names(combo) == ["B"]
    two[1].SetAttribute("Kind", "other")
    assert names(combo) == []
    combo.removeAttribute(SCALAR, "Kind")
    assert names(combo) == ["A", "B"]


def test_none_is_chosen_first_where_it_is_enabled(scene, two):
    combo = selector(scene, noneEnabled=True, noneDisplay="(Create new)")
    assert combo.currentNode() is None
    combo.setCurrentNode(two[1])
    combo.setCurrentNode(None)
    assert combo.currentNode() is None
    assert combo.currentNodeID == ""


def test_first_node_is_taken_only_into_a_list_without_other_items(scene):
    bare = selector(scene, addEnabled=False, removeEnabled=False)
    with_actions = selector(scene)
    node = scene.AddNewNodeByClass(SCALAR, "A")
    assert bare.currentNode() is node
    assert with_actions.currentNode() is None


def test_removed_node_hands_the_selection_to_its_neighbour(scene, two):
    third = scene.AddNewNodeByClass(SCALAR, "C")
    combo = selector(scene)
    heard = []
    combo.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: heard.append(node and node.GetName()))
    combo.setCurrentNode(two[1])
    scene.RemoveNode(two[1])
    assert combo.currentNode() is third
    scene.RemoveNode(third)
    scene.RemoveNode(two[0])
    assert combo.currentNode() is None
    assert heard == ["B", "C", "A", None]


def test_setting_the_current_node_again_is_silent(scene, two):
    combo = selector(scene)
    heard = []
    combo.connect("currentNodeChanged(bool)", heard.append)
    combo.setCurrentNode(two[0])
    combo.currentNodeID = two[0].GetID()
    assert heard == []


def test_node_asked_for_before_there_is_a_scene_is_chosen_later(scene, two):
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = [SCALAR]
    combo.setCurrentNodeID(two[1].GetID())
    assert combo.enabled is False
    combo.setMRMLScene(scene)
    assert combo.enabled is True
    assert combo.currentNode() is two[1]


def test_added_node_is_named_and_selected(scene, two):
    combo = selector(scene, baseName="Result")
    assert combo.addNode().GetName() == "Result"
    assert combo.addNode().GetName() == "Result_1"
    assert combo.currentNode().GetName() == "Result_1"
    combo.selectNodeUponCreation = False
    combo.addNode()
    assert combo.currentNode().GetName() == "Result_1"


def test_closing_the_scene_empties_the_list(scene, two):
    combo = selector(scene)
    scene.Clear()
    assert combo.nodeCount() == 0
    assert combo.currentNode() is None
