"""The exceptions a caller of the engine meets; each message is one sentence that says what to do."""


class InputError(ValueError):
    """Something the user can mend: a file, a parameter, a region. The command line answers it with exit code 2."""


class ConstantImage(InputError):
    """An image with one value everywhere: no anatomy, but among the slices of a subject nothing unusual."""


class PackageError(InputError):
    """A model package that is incomplete, altered or not to be trusted."""


class OutOfMemory(InputError):
    """The work does not fit into the memory of any allowed device."""


class Cancelled(Exception):
    """The caller asked to stop; nothing was written."""


def printable(value: object, most: int = 2000) -> str:
    """Foreign text as one printable line of bounded length."""
    line = " ".join(str(value).split())
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= most else f"{line[: most - 1]}…"
