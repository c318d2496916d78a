"""Line charts as inline SVG, in the colours that the page's style sheet gives them."""

import math
from collections.abc import Callable, Mapping
from html import escape

from .runlog import Curve

_WIDTH, _HEIGHT = 320, 176
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 8, 22
_LOG_FROM = 8.0
"""Ratio of the largest to the smallest value from which positive values are drawn on a logarithmic axis."""
_MOST_MEMBERS, _MOST_POINTS = 40, 400


def line_chart(
    name: str,
    curve: Curve,
    members: Mapping[str, Curve],
    epochs: tuple[int, int],
    marked: int | None = None,
    may_be_log: bool = False,
) -> str:
    """One figure over the epochs.

    Args:
        name: Of the figure, for those who cannot see the chart.
        curve: Drawn strong; at least one value.
        members: Drawn thin behind it, such as the figure of every subject.
        epochs: First and last of the axis.
        marked: Epoch whose value gets a dot.
        may_be_log: Use a logarithmic axis where values are positive and span much.

    Returns:
        An `svg` element.
    """
    shown = [curve, *list(members.values())[:_MOST_MEMBERS]]
    values = [value for line in shown for value in line.values]
    log = may_be_log and min(values) > 0 and max(values) > _LOG_FROM * min(values)
    ticks = log_ticks(min(values), max(values)) if log else linear_ticks(min(values), max(values))
    scale = math.log10 if log else float
    low, high = scale(min(ticks[0], min(values))), scale(max(ticks[-1], max(values)))
    first, last = epochs

    def x(epoch: float) -> float:
        share = 0.5 if first == last else (epoch - first) / (last - first)
        return _LEFT + 6 + share * (_WIDTH - _LEFT - _RIGHT - 12)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (scale(value) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 3.5:.1f}" text-anchor="end">{tick:.4g}</text>')
    for epoch in _epoch_ticks(first, last):
        parts.append(f'<text x="{x(epoch):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{epoch}</text>')
    for member, line in list(members.items())[:_MOST_MEMBERS]:
        parts.append(f'<path class="member" d="{_path(line, x, y)}"><title>{escape(member)}</title></path>')
    parts.append(f'<path class="mean" d="{_path(curve, x, y)}"/>')
    points = list(zip(curve.epochs, curve.values, strict=True))
    for epoch, value in points[:: math.ceil(len(points) / _MOST_POINTS)]:
        kind = "dot" if epoch == marked or len(points) == 1 else "hover"
        title = f"epoch {epoch}: {value:.5g}" + (", kept" if epoch == marked else "")
        parts.append(
            f'<circle class="{kind}" cx="{x(epoch):.1f}" cy="{y(value):.1f}" r="4"><title>{title}</title></circle>'
        )
    begin, end = points[0], points[-1]
    label = f"{name} from {begin[1]:.4g} at epoch {begin[0]} to {end[1]:.4g} at epoch {end[0]}"
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">' + "".join(parts) + "</svg>"


def linear_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that hold a range between them."""
    if high == low:
        low, high = low - max(abs(low) * 0.1, 0.5), high + max(abs(high) * 0.1, 0.5)
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten inside a range; 2 and 5 times these too where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(1, math.ceil((last - first) / 5))
    ticks = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001] or [low]


def _epoch_ticks(first: int, last: int) -> list[int]:
    if last - first < 2:
        return sorted({first, last})
    return [first, *(tick for tick in map(int, linear_ticks(first, last)) if _inside(tick, first, last)), last]


def _inside(tick: float, first: int, last: int) -> bool:
    """Far enough from both ends for its label."""
    margin = 0.12 * (last - first)
    return first + margin < tick < last - margin


def _path(curve: Curve, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    points = list(zip(curve.epochs, curve.values, strict=True))
    step = math.ceil(len(points) / _MOST_POINTS) or 1
    kept = points[::step] + ([points[-1]] if points and (len(points) - 1) % step else [])
    return "".join(f"{'L' if n else 'M'}{x(epoch):.1f} {y(value):.1f}" for n, (epoch, value) in enumerate(kept))
