"""`python -m Testing.benchmarks translate|explain|train`: figures that a command printed, and their machine."""

import argparse
import sys

from MRITranslateLib.errors import InputError

from . import explain, train, translate


def main() -> int:
    """Run a benchmark; 0 when it meets its bar, 1 when it does not, 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m Testing.benchmarks", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    translate.add_arguments(benchmarks.add_parser("translate", help=translate.HELP, description=translate.__doc__))
    explain.add_arguments(benchmarks.add_parser("explain", help=explain.HELP, description=explain.__doc__))
    train.add_arguments(benchmarks.add_parser("train", help=train.HELP, description=train.__doc__))
    options = parser.parse_args()
    try:
        return {"translate": translate, "explain": explain, "train": train}[options.benchmark].main(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
