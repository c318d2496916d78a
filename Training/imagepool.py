"""A memory of generated images (Shrivastava et al., CVPR 2017), so that a discriminator does not forget old faults."""

from collections.abc import Mapping

import torch


class ImagePool:
    """Keeps generated images and hands some of them out again, in place of new ones, with probability one half.

    Its content belongs into the checkpoint, as `state_dict`, and its choices come from torch's global random numbers:
    so a resumed run is shown the very images that it would have been shown.

    Args:
        size: Images to keep; 0 hands every new image straight on.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._images: torch.Tensor | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """New images (N, C, ...) to as many images, old and new, without gradient; all new until the pool is full."""
        images = images.detach()
        kept = images[:0] if self._images is None else self._images.to(images.device)
        free = self._size - len(kept)
        kept = torch.cat([kept, images[:free]]) if free > 0 else kept
        answer = images.clone()
        for index in range(max(0, free), len(images) if self._size else 0):
            if torch.rand(()) < 0.5:
                place = int(torch.randint(self._size, ()))
                answer[index] = kept[place]
                kept[place] = images[index]
        self._images = kept
        return answer

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The images, under "images"; nothing before the first."""
        return {} if self._images is None else {"images": self._images}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the images of a checkpoint."""
        self._images = state.get("images")
