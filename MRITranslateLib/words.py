"""Which words of a report mattered: integrated gradients (Sundararajan et al., ICML 2017) on its word pieces.

The report is compared with one of equal length that says nothing, every word piece of it masked. On the way from the
latter to the former the gradients of a score are gathered at the embeddings of the pieces; what each piece gathered
adds up to the difference of the two scores. A word counts as the sum of its pieces.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

import numpy as np
import SimpleITK as sitk
import torch

from .card import ClassificationCard, RadiographCard
from .errors import Cancelled, InputError
from .inference import Cancel, Progress, pick_device, tell
from .package import Package
from .pictures import PictureStack
from .provenance import provenance
from .reading import find_text_encoder
from .sampling import draw_noise, resize_pictures
from .text import Tokens
from .volume import check_volume

_STEPS = 32
_BATCH = 8
_WORD = re.compile(r"\w+(?:[-'’./]\w+)*")
_MATCH = 1
_STRONG, _AGAINST = (200, 60, 20), (30, 90, 200)
"""Colours of what raised and of what lowered the score."""


@dataclass(frozen=True)
class Word:
    """A part of the report: a word, or what stands between words.

    Attributes:
        text: As it stands in the report.
        score: What it added to the score, in the score's unit (a logit); below 0 it lowered it.
    """

    text: str
    score: float


@dataclass(frozen=True)
class Words:
    """What `explain_words` gives.

    Attributes:
        parts: The report from its beginning to its end, in parts that joined give it back.
        asked: What the score is, for people.
        score: Of the report.
        without: Of the report with all words masked.
        warnings: Sentences for people.
        provenance: Model, hash of its weights, what was asked, device, software, date, notice.
    """

    parts: list[Word]
    asked: str
    score: float
    without: float
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)

    def strongest(self, count: int = 5) -> list[Word]:
        """The words with the largest effect either way, the largest first."""
        words = [part for part in self.parts if _WORD.search(part.text)]
        return sorted(words, key=lambda word: -abs(word.score))[:count]

    def shades(self) -> list[float]:
        """For each part how much of the largest effect it has, -1 to 1."""
        largest = max((abs(part.score) for part in self.parts), default=0.0)
        return [part.score / largest if largest else 0.0 for part in self.parts]

    def html(self) -> str:
        """The report as coloured text, safe to show: what raised the score on orange, what lowered it on blue."""
        pieces = []
        for part, shade in zip(self.parts, self.shades(), strict=True):
            red, green, blue = tint(shade)
            text = escape(part.text).replace("\n", "<br>")
            if abs(shade) < 0.05:
                pieces.append(text)
            else:
                style = f"background-color: #{red:02x}{green:02x}{blue:02x}; color: #000000"
                pieces.append(f'<span style="{style}" title="{part.score:+.3f}">{text}</span>')
        return "".join(pieces)


def tint(shade: float) -> tuple[int, int, int]:
    """Background of a word, from white at 0 to a colour that black text can be read on: RGB, 0 to 255."""
    colour = _STRONG if shade > 0 else _AGAINST
    amount = 0.65 * abs(shade)
    red, green, blue = (round(255 - amount * (255 - value)) for value in colour)
    return red, green, blue


def explain_words(
    text: str,
    package: Package,
    image: sitk.Image | None = None,
    classifier: Package | None = None,
    class_name: str | None = None,
    seed: int = 1,
    text_encoder: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Words:
    """Say which words of a report raised or lowered a score.

    Without a classifier the score is the discriminator's logit for the match of the report with a picture, which stays
    as it is: the words that the model finds in it. With a classifier it is the logit of a class for the picture that
    the generator makes of the report: the words that put this finding there.

    Args:
        text: The report.
        package: A package for radiographs.
        image: An X-ray, a volume of one slice, whose match with the words is asked; None makes it from the report.
        classifier: A classification package of chest X-rays.
        class_name: One of its classes.
        seed: Of the picture that is made.
        text_encoder: As of `radiograph`.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        progress: Called with (fraction 0..1, stage, done, total) after every batch.
        cancel: Asked before every batch; True stops.

    Raises:
        InputError: A package is of another kind, the class is unknown, or the report cannot be used.
        Cancelled: `cancel` said so.
    """
    card = package.card
    if not isinstance(card, RadiographCard):
        raise InputError(f'"{card.name}" reads no reports, its task is {card.task}; choose another model.')
    place = pick_device(device)
    encoder = find_text_encoder(package, text_encoder).to(place)
    tokens = encoder.tokenise(text)
    score, asked = _score(package, image, classifier, class_name, seed, place, encoder.features_of(tokens))
    masked = encoder.embed(encoder.masked(tokens)).detach()
    whole = encoder.embed(tokens).detach()
    ways = (torch.arange(_STEPS, device=place) + 0.5) / _STEPS
    gathered = torch.zeros_like(whole[0])
    for start in range(0, _STEPS, _BATCH):
        if cancel is not None and cancel():
            raise Cancelled()
        shares = ways[start : start + _BATCH, None, None]
        with torch.enable_grad():
            between = torch.lerp(masked, whole, shares).requires_grad_(True)
            answer = score(encoder.pool(encoder.contextual(between)))
            (gradient,) = torch.autograd.grad(answer.sum(), between)
        gathered += gradient.sum(0) / _STEPS
        tell(progress, (start + _BATCH) / _STEPS, "Weighing words", min(start + _BATCH, _STEPS), _STEPS)
    effects = (gathered * (whole - masked)[0]).sum(1).tolist()
    with torch.inference_mode():
        ends = [float(score(encoder.pool(encoder.contextual(end)))) for end in (whole, masked)]
    warning = encoder.warning([tokens.truncated])
    facts = {**provenance(package, place), "asked": asked, "method": "integrated gradients", "seed": str(seed)}
    if classifier is not None:
        facts |= {"classifier": classifier.card.name, "classifier_sha256": classifier.weights_sha256}
    return Words(_parts(tokens, effects), asked, ends[0], ends[1], [] if warning is None else [warning], facts)


def _score(
    package: Package,
    image: sitk.Image | None,
    classifier: Package | None,
    class_name: str | None,
    seed: int,
    device: str,
    features: torch.Tensor,
) -> tuple[Callable[[torch.Tensor], torch.Tensor], str]:
    """A function of a report's features (n, features) that gives n scores, and what it is."""
    generator = package.generator(device)
    noise = draw_noise(1, int(generator.latent), seed).to(device)  # type: ignore[arg-type]
    if classifier is None:
        discriminator = package.discriminator(device)
        if image is None:
            with torch.inference_mode():
                shown = generator(noise, features)
        else:
            shown = torch.from_numpy(_picture(image, package.card.picture.size))[None, None].to(device)  # type: ignore[union-attr]
        shown = shown.clone()  # made in inference mode it could not take part in a gradient
        return lambda given: discriminator(shown.expand(len(given), -1, -1, -1), given)[:, _MATCH], "match"
    theirs = classifier.card
    if not isinstance(theirs, ClassificationCard) or theirs.source != "CXR":
        raise InputError(f'"{theirs.name}" does not tell what a chest X-ray shows; choose another classifier.')
    if class_name not in theirs.classes:
        raise InputError(f'"{theirs.name}" knows no class "{class_name}"; use one of {", ".join(theirs.classes)}.')
    network, number = classifier.classifier(device), theirs.classes.index(class_name)

    def logit(given: torch.Tensor) -> torch.Tensor:
        made = generator(noise.expand(len(given), -1), given)
        answer: torch.Tensor = network(resize_pictures(made, theirs.picture.size))[:, number]
        return answer

    return logit, f"class {class_name}"


def _picture(image: sitk.Image, size: int) -> np.ndarray:
    """float32 (size, size)."""
    check_volume(image)
    stack = PictureStack(image, size)
    if stack.slices != 1:
        raise InputError(f"The image has {stack.slices} slices; give one X-ray.")
    picture: np.ndarray = stack.pictures[0]
    return picture


def _parts(tokens: Tokens, effects: list[float]) -> list[Word]:
    """The report cut into words and what is between them, each with the sum of the effects of its word pieces."""
    text, parts, end = tokens.text, [], 0
    for found in _WORD.finditer(text):
        if found.start() > end:
            parts.append((end, found.start()))
        parts.append(found.span())
        end = found.end()
    if end < len(text):
        parts.append((end, len(text)))
    sums = [0.0] * len(parts)
    for (first, last), effect in zip(tokens.spans, effects, strict=True):
        if last > first:
            sums[next(n for n, (start, stop) in enumerate(parts) if start <= first < stop)] += effect
    return [Word(text[start:stop], value) for (start, stop), value in zip(parts, sums, strict=True)]
