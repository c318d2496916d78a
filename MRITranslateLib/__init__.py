"""MRITranslate's engine: synthetic MRI contrasts and CT, with explanations, in the patient's own space.

    import MRITranslateLib as mt

    head = mt.phantom(seed=1)
    result = mt.translate(head.t1, mt.load_package("t1_to_t2"))
    why = mt.explain(head.t1, mt.load_package("t1_to_t2"), target=mt.Voxel(64, 64, 48))

Everything is loaded on first use, so that importing the package costs next to nothing (no torch, no network).
A research tool: not for diagnosis.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "load_package": "package",
    "write_package": "package",
    "Package": "package",
    "list_models": "catalog",
    "translate": "translate",
    "TranslateResult": "translate",
    "translate_batch": "batch.run",
    "BatchReport": "batch.report",
    "explain": "explain",
    "Explanation": "explain",
    "Beside": "explain",
    "explain_generator": "selfexplain",
    "SelfExplanation": "selfexplain",
    "Region": "targets",
    "Voxel": "targets",
    "Error": "targets",
    "Realism": "targets",
    "ClassScore": "targets",
    "Match": "targets",
    "Levels": "levels",
    "Segments": "levels",
    "check": "domain",
    "DomainReport": "domain",
    "recognise": "contrast",
    "Contrast": "contrast",
    "evaluate": "evaluate",
    "evaluate_cohort": "cohort.run",
    "pair_by_name": "cohort.pairing",
    "read_pairs": "cohort.pairing",
    "generate": "generate",
    "Generated": "generate",
    "radiograph": "radiograph",
    "Radiograph": "radiograph",
    "explain_words": "words",
    "Words": "words",
    "phantom": "phantom",
    "read_volume": "volume",
    "write_volume": "volume",
    "modality": "modality",
    "InputError": "errors",
    "PackageError": "errors",
    "Cancelled": "errors",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


class _Engine(ModuleType):
    """The package itself. Some tasks share the name of their module (`mt.translate` lives in translate.py): importing
    the module must not hide the function, so Python's binding of such a submodule is declined here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Engine


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from .batch.report import BatchReport as BatchReport
    from .batch.run import translate_batch as translate_batch
    from .catalog import list_models as list_models
    from .cohort.pairing import pair_by_name as pair_by_name
    from .cohort.pairing import read_pairs as read_pairs
    from .cohort.run import evaluate_cohort as evaluate_cohort
    from .contrast import Contrast as Contrast
    from .contrast import recognise as recognise
    from .domain import DomainReport as DomainReport
    from .domain import check as check
    from .errors import Cancelled as Cancelled
    from .errors import InputError as InputError
    from .errors import PackageError as PackageError
    from .evaluate import evaluate as evaluate
    from .explain import Beside as Beside
    from .explain import Explanation as Explanation
    from .explain import explain as explain
    from .generate import Generated as Generated
    from .generate import generate as generate
    from .levels import Levels as Levels
    from .levels import Segments as Segments
    from .modality import modality as modality
    from .package import Package as Package
    from .package import load_package as load_package
    from .package import write_package as write_package
    from .phantom import phantom as phantom
    from .radiograph import Radiograph as Radiograph
    from .radiograph import radiograph as radiograph
    from .selfexplain import SelfExplanation as SelfExplanation
    from .selfexplain import explain_generator as explain_generator
    from .targets import ClassScore as ClassScore
    from .targets import Error as Error
    from .targets import Match as Match
    from .targets import Realism as Realism
    from .targets import Region as Region
    from .targets import Voxel as Voxel
    from .translate import TranslateResult as TranslateResult
    from .translate import translate as translate
    from .volume import read_volume as read_volume
    from .volume import write_volume as write_volume
    from .words import Words as Words
    from .words import explain_words as explain_words
