"""`mritranslate`: the engine on the command line.

Results for people go to standard output as a few lines, for machines (`--json`) as one JSON object; progress, warnings
and errors go to standard error. Exit codes: 0 done, 1 a fault of the program, 2 an input to mend (one sentence says
how), 130 interrupted. Files appear only when they are complete. Heavy imports happen inside the commands, so that
`--help` is quick.
"""

from .commands import main

__all__ = ["main"]
