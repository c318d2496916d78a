"""What is handed to the checks of a map, and how the maps of several layers are joined."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MRITranslateLib import explainer, faithfulness
from MRITranslateLib.explain import explain
from MRITranslateLib.explainer import joined, largest
from MRITranslateLib.faithfulness import Case, Faithfulness
from MRITranslateLib.package import Package
from MRITranslateLib.targets import Realism, Region
from Testing.MRITranslateLib.packages import tiny_package, tiny_package_3d
from Testing.MRITranslateLib.test_explain import box, head, volume


def test_one_layers_map_stays_as_it_is_and_several_count_alike() -> None:
    values = np.array([[[1.0, -2.0, 0.0]], [[0.0, 300.0, 600.0]]], np.float32)
    assert np.array_equal(joined(values[:1], largest(values[:1])), values[0])
    assert largest(values).tolist() == [2, 600]
    np.testing.assert_allclose(joined(values, largest(values)), [[0.25, -0.25, 0.5]])
    assert not joined(np.zeros_like(values), largest(np.zeros_like(values))).any()


@pytest.mark.parametrize("make", [tiny_package, tiny_package_3d])
@pytest.mark.parametrize("realism", [False, True])
def test_the_checks_get_the_pieces_with_most_of_the_map(
    make: Callable[[Path], Path], realism: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def check_map(cases: Sequence[Case], twins: Callable[[int], Sequence[np.ndarray]], *rest: Any) -> Faithfulness:
        seen.update(cases=cases, twins=[twins(seed) for seed in (1, 1, 2)])
        return faithfulness.check_map(cases[:1], lambda seed: twins(seed)[:1], *rest)

    monkeypatch.setattr(explainer, "check_map", check_map)
    package = Package(make(tmp_path / "tiny"))
    image = volume(head((12, 40, 44)), (2.0, 2.0, 2.0))
    target = Realism() if realism else Region(box(image, (1, 10, 10), (11, 30, 34)))
    told: list[float] = []
    made = explain(
        image,
        package,
        target,
        "hirescam",
        device="cpu",
        check=True,
        progress=lambda fraction, *_: told.append(fraction),
    )
    assert made.faithfulness is not None
    assert told == sorted(told)
    assert told[-1] == 1
    cases = seen["cases"]
    assert 1 <= len(cases) <= 8
    mass = [np.abs(case.map).sum() for case in cases]
    assert mass == sorted(mass, reverse=True)
    for case in cases:
        assert case.inputs.shape[1:] == case.map.shape == case.body.shape
        assert case.body.any()
        inputs = torch.from_numpy(case.inputs)
        both = case.score(torch.stack([inputs, 0.5 * inputs])).detach()
        assert both.shape == (2,)
        torch.testing.assert_close(case.score(inputs[None]).detach()[0], both[0], rtol=1e-3, atol=1e-3)
        assert both[0] != both[1]
    first, again, other = seen["twins"]
    for one, two, three, case in zip(first, again, other, cases, strict=True):
        assert one.shape == case.map.shape
        assert np.array_equal(one, two)
        assert not np.array_equal(one, three)
