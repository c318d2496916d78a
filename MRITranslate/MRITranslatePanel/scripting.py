"""The scripting interface: what a script or the console asks for by nodes and names, as one call a task."""

from __future__ import annotations

from slicer.i18n import tr as _

from MRITranslateLib import catalog
from MRITranslateLib.errors import InputError

from . import dependencies, results
from .batch import Batch, StudyJob, studyOf
from .comparejob import CompareJob, ReportJob
from .devices import DevicesJob
from .dicomexport import ExportJob
from .explainjob import ExplainJob
from .generatejob import GenerateJob, RadiographJob, WordsJob
from .installing import Installation, restartSentence
from .jobqueue import Runner, waitFor
from .jobs import PHANTOM_SHAPE, CheckJob, EvaluateJob, PhantomJob, TranslateJob
from .modeljobs import AddModelJob, CatalogueJob, DownloadJob, RemoveModelJob, VerifyJob
from .sequences import SEQUENCE, SequenceJob, sequenceOf


class Scripting(Runner):
    """The calls of MRITranslateLogic; each waits for its result while the application stays responsive."""

    def translate(
        self, inputNode, model, device="auto", outputNode=None, maskNode=None, uncertainty=False, cycle=False
    ):
        """Make a synthetic image; see TranslateJob.

        Returns:
            The scalar volume node, on the input's grid and under its parent transform. With `uncertainty` its node
            reference "MRITranslate.uncertainty" is the volume of the standard deviation, with `cycle`
            "MRITranslate.cycle" that of the difference there and back.
        """
        return self.wait(TranslateJob(inputNode, model, device, outputNode, maskNode, uncertainty, cycle))

    def translateStudy(self, study, model, device="auto", maskNode=None, uncertainty=False, cycle=False):
        """Make synthetic images of all scalar volumes of a study, one after the other; see StudyJob.

        Args:
            study: Subject hierarchy item (study, patient or folder), or a volume node: then the study it belongs to.

        Returns:
            Translated: the nodes, and what was left out with the reasons.
        """
        item = study if isinstance(study, int) else studyOf(study)
        return self.wait(StudyJob(item, model, device, maskNode, uncertainty, cycle))

    def translateSequence(self, sequence, model, device="auto", maskNode=None, uncertainty=False, cycle=False):
        """Make a synthetic sequence; see SequenceJob.

        Args:
            sequence: Sequence node, or the volume node that shows its items.

        Returns:
            Translated: the volume node that shows the items of the synthetic sequence, and what was left out.
        """
        if sequence is not None and not sequence.IsA(SEQUENCE):
            sequence = sequenceOf(sequence)[0]
        return self.wait(SequenceJob(sequence, model, device, maskNode, uncertainty, cycle))

    def start(self, job, onProgress=None, onFinished=None, onFailed=None, onStarted=None):
        """As Runner.start, for batches too: each of their translations takes its turn."""
        callbacks = (onProgress, onFinished, onFailed, onStarted)
        if isinstance(job, (StudyJob, SequenceJob)):
            Batch(super().start, job, *callbacks).begin()
        else:
            super().start(job, *callbacks)

    def devices(self):
        """What there is to compute on: a list of Device (name, title, freeBytes)."""
        return self.wait(DevicesJob())

    def explain(self, inputNode, model, target="region", **options):
        """Make a heat map; see ExplainJob for the options (regionNode, voxel, plane, method, checkMap, ...).

        Returns:
            Explained: heat map node (scalar volume, 0 to 1) and levels node (label map); the tables, the chart and what
            was found are its attributes.
        """
        explained = self.wait(ExplainJob(inputNode, model, target, **options))
        results.showLayers(inputNode, explained.heatMap, 0.5)
        return explained

    def generate(self, model="brain_mri", count=16, seed=1, truncation=None, towards=None, device="auto"):
        """Make pictures from noise; see GenerateJob.

        Returns:
            The scalar volume node whose slices are the pictures. Its node reference "MRITranslate.verdict" is the table
            of the discriminator's answer to each.
        """
        return self.wait(GenerateJob(model, count, seed, truncation, towards, device))

    def radiograph(self, text, model="chest_xray", seed=1, count=1, textEncoder=None, device="auto"):
        """Make chest X-rays of a report; see RadiographJob.

        Returns:
            The scalar volume node, a slice an X-ray. Its node reference "MRITranslate.report" is the text node of the
            report, "MRITranslate.verdict" the table of the discriminator's answers.
        """
        return self.wait(RadiographJob(text, model, seed, count, textEncoder, device))

    def explainWords(self, xray, model="chest_xray", **options):
        """Weigh the words of a report; see WordsJob for the options (report, classifier, className, ...).

        Args:
            xray: Volume node of an X-ray, or the text of a report: then of the X-ray that the model makes of it.

        Returns:
            Words: table node, the parts of the report with their scores, the report as coloured text, ...
        """
        if isinstance(xray, str):
            return self.wait(WordsJob(None, model, xray, **options))
        return self.wait(WordsJob(xray, model, **options))

    def check(self, inputNode, model):
        """Look whether a volume is what a model was made for.

        Returns:
            Domain: outcome ("ok", "warn" or "refuse"), reasons, contrast and probabilities.
        """
        return self.wait(CheckJob(inputNode, model))

    def evaluate(self, referenceNode, predictionNode, mask=None, modality=None, protocol="plain"):
        """Score a synthetic volume against the true one; see EvaluateJob.

        Args:
            modality: "MR" or "CT"; None takes what the reference node's voxel values are declared to be.

        Returns:
            The table node.
        """
        modality = modality or results.kindOf(referenceNode)
        return self.wait(EvaluateJob(referenceNode, predictionNode, modality, mask, protocol))

    def compare(self, referenceNode, predictionNode, mask=None, modality=None, protocol="plain", report=None):
        """Hold a synthetic volume against the true one; see CompareJob.

        Args:
            report: An .html file to write the report to, or None.

        Returns:
            Compared: table, difference, chart, slices, histogram and resampled are nodes; scores, facts, pictures and
            warnings say what was found.
        """
        compared = self.wait(CompareJob(referenceNode, predictionNode, modality, mask, protocol))
        if report is not None:
            self.wait(ReportJob(referenceNode, predictionNode, modality, mask, protocol, str(report)))
        return compared

    def exportDICOM(self, node, folder):
        """Write a synthetic volume as a DICOM series into a folder of its own within `folder`; see ExportJob.

        Returns:
            The paths of the files, in the order of the slices.
        """
        return self.wait(ExportJob(node, str(folder)))

    def loadPhantom(self, seed=1, shape=PHANTOM_SHAPE, lesions=0):
        """Make a digital head.

        Returns:
            Nodes by name: t1, t2, flair, pd, ct, labels, and lesions if there are any.
        """
        return self.wait(PhantomJob(seed, tuple(shape), lesions))

    def verifyModels(self, name=None):
        """Check a model, or all of them, completely: card, hashes, tensors, values.

        Returns:
            Verified (name, ok, sentence) of each.
        """
        return self.wait(VerifyJob(name))

    def addModel(self, path):
        """Check a package and copy it into the user's folder of models.

        Args:
            path: Its folder, the model.json in it, or a .zip file.

        Returns:
            Name of the model.
        """
        return self.wait(AddModelJob(str(path)))

    def removeModel(self, name):
        """Delete a model from the user's folder. Nobody is asked; models that came with the extension stay."""
        self.wait(RemoveModelJob(name))

    def downloadModel(self, name, catalogue=None):
        """Download a model, check it and add it; what broke off or was cancelled before is resumed.

        Args:
            catalogue: Address of the catalogue; None takes the environment variable MRITRANSLATE_CATALOGUE.

        Returns:
            Name of the model.
        """
        entries = self.wait(CatalogueJob(catalogue or catalog.default_catalogue()))
        for entry in entries:
            if entry["name"] == name:
                return self.wait(DownloadJob(entry))
        offered = ", ".join(entry["name"] for entry in entries)
        message = _('The catalogue offers no model "{name}"; it offers {offered}.')
        raise InputError(message.format(name=name, offered=offered or _("none")))

    def installDependencies(self):
        """Install the Python packages that are lacking into Slicer, without asking; nothing if none is.

        What is done is printed, and the application stays responsive meanwhile. Afterwards jobs can be run, unless
        packages were replaced that Slicer had loaded already: then it must be restarted first.

        Raises:
            InputError: They could not be installed, or Slicer must be restarted.
        """
        if not dependencies.lacking():
            return
        outcome = []
        Installation(print, outcome.append, outcome.append).start()
        waitFor(lambda: outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        if outcome[0]:
            raise InputError(restartSentence(outcome[0]))
