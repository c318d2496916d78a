"""`python -m Testing.benchmarks translate|explain|panel|train|evaluate|startup|all`: figures that a command printed."""

import argparse
import sys

from MRITranslateLib.errors import InputError

from . import docs, everything, pointing, transplants

_BENCHMARKS = {
    **everything.BENCHMARKS,
    "all": everything,
    "docs": docs,
    "pointing": pointing,
    "transplants": transplants,
}


def main() -> int:
    """Run a benchmark; 0 when it meets its bar, 1 when it does not, 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m Testing.benchmarks", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, benchmark in _BENCHMARKS.items():
        benchmark.add_arguments(benchmarks.add_parser(name, help=benchmark.HELP, description=benchmark.__doc__))
    options = parser.parse_args()
    try:
        return _BENCHMARKS[options.benchmark].main(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
