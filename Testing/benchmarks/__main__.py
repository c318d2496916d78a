"""`python -m Testing.benchmarks translate|explain|panel|train|evaluate|startup|all`: figures that a command printed."""

import argparse
import importlib
import sys

from MRITranslateLib.errors import InputError

_MODULES = {
    **{name: name for name in ("translate", "explain", "panel", "train", "evaluate", "startup")},
    "all": "everything",
    **{name: name for name in ("docs", "pointing", "transplants")},
}


def main() -> int:
    """Run a benchmark; 0 when it meets its bar, 1 when it does not, 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m Testing.benchmarks", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    modules = {named: _MODULES[named]} if named in _MODULES else _MODULES  # one starts in half the time of all
    found = {name: importlib.import_module(f".{module}", __package__) for name, module in modules.items()}
    for name, benchmark in found.items():
        benchmark.add_arguments(benchmarks.add_parser(name, help=benchmark.HELP, description=benchmark.__doc__))
    options = parser.parse_args()
    try:
        return found[options.benchmark].main(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
