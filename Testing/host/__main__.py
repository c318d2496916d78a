"""`python -m Testing.host`: Slicer's command line on the test host."""

import sys

from .commandline import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
