"""Installing the Python packages that are lacking: in child processes of Slicer's Python, asked for, cancellable.

Slicer's own `slicer.util.pip_install` waits for each line that pip prints, and so holds the application up while a
package is downloaded; here QProcess reports the lines as they come. An installation that breaks off does no harm: what
is not there in whole is lacking still, and the next one puts it right.
"""

from __future__ import annotations

import collections
import importlib
import logging
import os
import re
import sys

import qt
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import Cancelled, InputError

from . import dependencies
from .process_tree import killTree
from .worker import sharedWorker

KEPT_LINES = 60
SHOWN_LETTERS = 70
ENVIRONMENT = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_COLOR": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PYTHONSAFEPATH": "1",  # or a file in the current folder could pass for pip
    "PYTHONUNBUFFERED": "1",
}
NO_NETWORK = re.compile(
    "Failed to establish a new connection|Name or service not known|Temporary failure in name resolution"
    "|getaddrinfo failed|ConnectTimeoutError|ReadTimeoutError|ProxyError|Network is unreachable|Connection refused"
    "|\\(from versions: none\\)"
)
CONFLICT = re.compile("ResolutionImpossible|conflicting dependencies|The user requested \\(constraint\\)")
NO_PIP = re.compile("No module named '?pip\\b")
IN_USE = re.compile("WinError (?:5|32)\\b")


class Installation:
    """One installation of what is lacking.

    `onLine(text)` hears what pip prints, then exactly one of `onDone(packages)` and `onFailed(error)` is called:
    packages are those that Slicer has loaded in an older version, so that it must be restarted; the error is an
    InputError or Cancelled. All come from the event loop.
    """

    def __init__(self, onLine, onDone, onFailed) -> None:
        self._onLine = onLine
        self._onDone = onDone
        self._onFailed = onFailed
        self._lines = collections.deque(maxlen=KEPT_LINES)
        self._process = None
        self._unfinished = b""
        self._cancelled = False
        self._constraints = ""
        self._lacks = self._steps = []

    @property
    def lines(self) -> list[str]:
        """The last lines that were printed."""
        return list(self._lines)

    def start(self) -> None:
        """Begin.

        Raises:
            InputError: It cannot be begun; no callback will come.
        """
        self._lacks = dependencies.lacking()
        try:
            self._constraints = dependencies.constraintsFile()
        except OSError as error:
            raise InputError(problem([str(error)])) from error
        try:
            self._steps = dependencies.steps(self._lacks, self._constraints)
        except InputError:
            self._removeFile()
            raise
        logging.info("MRITranslate: installing %s", ", ".join(lack.package for lack in self._lacks))
        self._next()

    def cancel(self) -> None:
        """Stop; `onFailed` gets a Cancelled."""
        self._cancelled = True
        if self._process is not None:
            killTree(int(self._process.processId()))

    def stop(self) -> None:
        """Stop without a callback, when the application quits."""
        process, self._process = self._process, None
        if process is not None:
            process.blockSignals(True)
            killTree(int(process.processId()))
            process.waitForFinished(1000)
        self._removeFile()

    def _next(self) -> None:
        process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in ENVIRONMENT.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setProcessChannelMode(qt.QProcess.MergedChannels)
        process.connect("readyReadStandardOutput()", self._onOutput)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        self._process = process
        process.start(sys.executable, self._steps.pop(0))

    def _onOutput(self) -> None:
        if self._process is None:
            return
        *lines, self._unfinished = (self._unfinished + bytes(self._process.readAllStandardOutput().data())).split(b"\n")
        self._hear(lines)

    def _hear(self, lines: list[bytes]) -> None:
        for line in (line.decode("utf-8", "replace").strip() for line in lines):
            if line:
                self._lines.append(line)
                self._onLine(line)

    def _onFinished(self, code: int, status) -> None:
        if self._process is None:
            return
        self._onOutput()
        self._hear([self._unfinished])
        self._unfinished = b""
        self._process.deleteLater()
        self._process = None
        if self._cancelled:
            self._fail(Cancelled(_("The installation was cancelled; what is lacking is asked for at the next run.")))
        elif code != 0:
            self._fail(InputError(problem(self.lines)))
        elif self._steps:
            self._next()
        else:
            self._finish()

    def _onError(self, error) -> None:
        if int(error) != 0:  # all but FailedToStart are followed by finished()
            return
        self._process.deleteLater()
        self._process = None
        self._fail(InputError(_("Slicer's Python could not be started; reinstall Slicer.")))

    def _finish(self) -> None:
        importlib.invalidate_caches()
        lacks = dependencies.lacking()
        if lacks:
            names = ", ".join(lack.words() for lack in lacks)
            sentence = _("Slicer does not find {names} after their installation; restart Slicer and press Run again.")
            self._fail(InputError(sentence.format(names=names)))
            return
        self._removeFile()
        sharedWorker().stop()  # it may have the old versions in memory
        logging.info("MRITranslate: the packages are installed")
        self._onDone(dependencies.replacedWhileLoaded(self._lacks))

    def _fail(self, error: Exception) -> None:
        self._removeFile()
        logging.info("MRITranslate: the packages were not installed: %s", error)
        self._onFailed(error)

    def _removeFile(self) -> None:
        if self._constraints:
            os.unlink(self._constraints)
            self._constraints = ""


def problem(lines: list[str]) -> str:
    """One sentence of what pip said before it gave up."""
    text = "\n".join(lines)
    if CONFLICT.search(text):
        return _(
            "The Python packages were not installed: they need other versions of packages than Slicer brings "
            "({kept} must stay as they are); install a newer version of Slicer."
        ).format(kept=", ".join(dependencies.KEPT))
    if NO_NETWORK.search(text):
        return _(
            "The Python packages were not installed: no source of packages can be reached; connect the computer to the "
            "network, then press Run again."
        )
    if NO_PIP.search(text):
        return _("The Python packages were not installed: Slicer's Python has no working pip; reinstall Slicer.")
    if IN_USE.search(text):
        return _("The Python packages were not installed: Slicer uses older ones; restart it and press Run at once.")
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or [_("no reason given")]
    reason = errors[-1].partition("ERROR:")[2].strip() or errors[-1]
    return _("The Python packages were not installed ({reason}); press Run to try again.").format(
        reason=reason.rstrip(".")
    )


def restartSentence(packages: list[str]) -> str:
    """What to do after an installation that replaced packages that Slicer has loaded."""
    sentence = _("New versions of {names} are installed, but Slicer has the old ones loaded; restart Slicer.")
    return sentence.format(names=", ".join(packages))


class InstallSection:
    """Asks once before a run whether to install what is lacking, shows how it goes, and lets the run go on.

    `status` is the panel's StatusSection; `onChanged()` is called when an installation begins or ends.
    """

    def __init__(self, status, onChanged) -> None:
        self._status = status
        self._onChanged = onChanged
        self._installation = None
        self._waiting = []

    @property
    def running(self) -> bool:
        return self._installation is not None

    def needed(self, goOn) -> bool:
        """Whether a run must wait for an installation, which is then under way; `goOn()` is called after it.

        Raises:
            InputError: The answer was no, or nothing can be installed.
        """
        lacks = dependencies.lacking()
        if not lacks:
            return False
        if not self.running:
            self._ask(lacks)
            self._begin()
        self._waiting.append(goOn)
        return True

    def cancel(self) -> None:
        if self.running:
            self._installation.cancel()

    def stop(self) -> None:
        """When the panel goes."""
        installation, self._installation, self._waiting = self._installation, None, []
        if installation is not None:
            installation.stop()

    def _ask(self, lacks: list[dependencies.Lack]) -> None:
        question = _(
            "MRITranslate needs these Python packages, or newer ones:\n\n{names}\n\nInstall them into Slicer now? This "
            "takes some minutes and needs a network; Slicer can be used meanwhile."
        ).format(names="\n".join(lack.words() for lack in lacks))
        if not slicer.util.confirmOkCancelDisplay(question, _("MRITranslate")):
            sentence = _(
                "MRITranslate needs the Python packages {names}; press Run again and agree to installing them."
            )
            raise InputError(sentence.format(names=", ".join(lack.words() for lack in lacks)))

    def _begin(self) -> None:
        self._status.begin(_("Installing Python packages"))
        self._waiting = []
        self._installation = Installation(self._onLine, self._onDone, self._onFailed)
        try:
            self._installation.start()
        except BaseException:
            self._installation = None
            raise

    def _onLine(self, line: str) -> None:
        shown = line if len(line) <= SHOWN_LETTERS else line[:SHOWN_LETTERS] + "..."
        self._status.progress(0.0, _("Installing: {line}").format(line=shown), 0, 0, None)

    def _onDone(self, packages: list[str]) -> None:
        waiting = self._waiting
        self._installation, self._waiting = None, []
        if packages:  # the worker would run, but other modules would have half of each version
            self._status.fail(restartSentence(packages))
        else:
            self._status.stop(_("The Python packages are installed."))
            for goOn in waiting:
                goOn()
        self._onChanged()

    def _onFailed(self, error: Exception) -> None:
        details = "\n".join(self._installation.lines)
        self._installation, self._waiting = None, []
        if isinstance(error, Cancelled):
            self._status.stop(str(error))
        else:
            self._status.fail(str(error), details)
        self._onChanged()
