"""The Grad-CAM map of a whole volume beside forward and backward passes of the bare network over the same slices.

The backward passes of the bare network go from the mean of the synthetic image to its input; the weights are frozen.
The bars: at most 2.5 times the bare network, and at most 3 GiB for 192 x 256 x 256 voxels.
"""

import argparse

from . import translate

HELP = "time and peak memory of a volume's heat map beside the bare network"
MOST_TIMES = 2.5

add_arguments = translate.add_arguments


def main(options: argparse.Namespace) -> int:
    return translate.compare(options, "explain", ("explained", "backward"), MOST_TIMES)
