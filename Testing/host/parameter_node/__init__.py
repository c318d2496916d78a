"""`slicer.parameterNodeWrapper`: typed parameters in a vtkMRMLScriptedModuleNode, connected to widgets.

Imported after `qt`, `ctk` and `slicer` are in place. Names that Slicer has and this package has not raise ImportError:
the host does not know them.
"""

from .annotations import (
    Choice,
    Decimals,
    Default,
    Exclude,
    FloatRange,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    RangeBounds,
    SingleStep,
    Validator,
    WithinRange,
)
from .wrapper import parameterNodeWrapper

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "FloatRange",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "SingleStep",
    "Validator",
    "WithinRange",
    "parameterNodeWrapper",
]
