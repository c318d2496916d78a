"""`python -m MRITranslateLib.service --folder DIR`: the worker on this process's standard streams."""

from __future__ import annotations

import argparse
import os
import sys


def _reserve_streams() -> tuple[int, int]:
    """The real standard input and output as (requests, events), out of reach of libraries.

    What a library prints, from Python or from C, goes to standard error; what it reads is empty.
    """
    requests, events = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(requests, os.O_BINARY)
        msvcrt.setmode(events, os.O_BINARY)
    return requests, events


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m MRITranslateLib.service", description=__doc__)
    parser.add_argument("--folder", required=True, help="fresh folder for arrays; its arrays are deleted at the end")
    arguments = parser.parse_args()
    requests, events = _reserve_streams()

    from ..errors import InputError
    from .volumes import prepare_folder
    from .worker import Worker

    try:
        folder = prepare_folder(arguments.folder)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    code = Worker(folder, requests, events).serve()
    # Everything is tidy by now, and unloading torch would keep the client waiting for seconds.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
