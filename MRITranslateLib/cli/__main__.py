"""`python -m MRITranslateLib.cli` is `mritranslate`."""

from . import main

main()
