"""`python -m Testing.benchmarks translate`: figures that a command printed, with the machine they were measured on."""

import argparse
import sys

from MRITranslateLib.errors import InputError

from . import translate


def main() -> int:
    """Run a benchmark; 0 when it meets its bar, 1 when it does not, 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m Testing.benchmarks", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    translate.add_arguments(benchmarks.add_parser("translate", help=translate.HELP, description=translate.__doc__))
    try:
        return translate.main(parser.parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
