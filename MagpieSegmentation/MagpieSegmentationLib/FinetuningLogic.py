"""From corrected segmentations to a fine-tuned model: cohort, ranking, fine-tuning, versions."""

import getpass
from pathlib import Path

from slicer.i18n import tr as _

from magpie_core.errors import InputError, MagpieError

from .ModelChoice import chosenModel
from .SegmentationExporter import SegmentationExporter
from .VolumeExporter import VolumeExporter
from .WorkerPort import WorkerPort
from .WorkerTask import WorkerTask

RECOMMENDED_CASES = 20
MINIMUM_CASES = 3


class FinetuningLogic:
    """Adds corrected cases to a cohort and fine-tunes the model on them; takes nodes and values, no widgets.

    Fine-tuning has a worker process of its own, so that the user can continue to segment.

    Parameters
    ----------
    port
        WorkerPort for short jobs, shared with the segmentation.
    finetuningPort
        WorkerPort for fine-tuning; one of its own by default.

    Attributes
    ----------
    adding, ranking, finetuning
        WorkerTask of each kind of job, with its signals.
    """

    def __init__(self, port, finetuningPort=None):
        self._port = port
        self._finetuningPort = finetuningPort or WorkerPort()
        self.adding = WorkerTask(port)
        self.ranking = WorkerTask(port)
        self.finetuning = WorkerTask(self._finetuningPort)
        self._count = 0
        self._addJob = {}

    @property
    def isRunning(self):
        """Whether a job is running."""
        return any(task.isRunning for task in (self.adding, self.ranking, self.finetuning))

    def poll(self):
        """Process the messages of both workers; returns at once."""
        self._port.poll()
        self._finetuningPort.poll()

    def close(self):
        """End the worker that fine-tunes; its progress is kept, and the next fine-tuning on these cases resumes."""
        self.finetuning.forget()
        self._finetuningPort.close()

    @staticmethod
    def cases(cohortFolder):
        """Return the cases of a cohort; none if the folder is empty or missing.

        Raises
        ------
        InputError
            If the folder holds something else, or its audit log was changed.
        """
        from magpie_core.cohort.cohort import Cohort

        folder = Path(cohortFolder)
        if not folder.is_dir() or not any(folder.iterdir()):
            return []
        return Cohort(folder).cases()

    def add(self, cohortFolder, result, patient):
        """Start to add a corrected study to the cohort; `adding` signals the end.

        The images are those that were segmented, whatever is selected now.

        Parameters
        ----------
        result
            SegmentationResult, as corrected.
        patient
            Patient identifier of the site; the cohort holds only a salted hash of it.

        Raises
        ------
        InputError
            If something is missing, or the segments cannot be written.
        """
        if not str(cohortFolder):
            raise InputError(_("No folder is chosen for the cases"), remedy=_("Choose a folder; it may be new"))
        if not patient.strip():
            raise InputError(
                _("The patient is not named"),
                cause=_("cases of one patient must stay in one fold"),
                remedy=_("Enter the patient number of your site; the cohort holds only a salted hash of it"),
            )
        reference, volumes = result.referenceNode, result.volumes()
        missing = [name for name in result.report["modalities_used"] if name not in volumes]
        if reference is None or missing:
            raise InputError(
                _("An image that was segmented is not in the scene any more"),
                cause=", ".join(missing),
                remedy=_("Load the images again, and segment them"),
            )
        self._count += 1
        folder = self._port.folder / f"case-{self._count}"
        folder.mkdir()
        exporter = SegmentationExporter()
        images = VolumeExporter().exportStudy(volumes, folder)
        exporter.export(result.segmentationNode, reference, folder / "labels.nii")
        proposal = None
        if result.proposalNode is not None:
            proposal = str(folder / "proposal.nii")
            exporter.export(result.proposalNode, reference, proposal)
        self._addJob = {
            "kind": "add_case",
            "cohort": str(cohortFolder),
            "images": images,
            "labels": str(folder / "labels.nii"),
            "proposal": proposal,
            "patient": patient.strip(),
            "annotator": self.userName(),
            "name": reference.GetName(),
            "drawn_on": result.report["reference"],
        }
        self.adding.start(self._addJob)

    def confirm(self, questions):
        """Add the study of the last `add` again: the user says that what was asked about is meant.

        Parameters
        ----------
        questions
            Names of the questions.
        """
        self._addJob.update(dict.fromkeys(questions, True))
        self.adding.start(self._addJob)

    def rank(self, studiesFolder, **options):
        """Start to rank the studies in a folder by the uncertainty of the model; `ranking` signals the end."""
        self.ranking.start({"kind": "rank", "studies": str(studiesFolder), **options})

    def finetune(self, cohortFolder, minutes, **options):
        """Start to fine-tune the active model on the cases of a cohort; `finetuning` signals the end.

        An interrupted fine-tuning is resumed, unless the cases have changed.
        """
        from magpie_core.models.registry import site_versions

        store = site_versions()
        name = store.free_name()
        self.finetuning.start(
            {
                "kind": "finetune",
                "cohort": str(cohortFolder),
                "run": str(store.folder / "runs" / name),
                "name": name,
                "minutes": minutes,
                "restart": True,
                "user": self.userName(),
                **options,
            }
        )

    @staticmethod
    def versions():
        """Return (name, whether in use, verdict) of the default model and of each version of the site.

        A version that is missing or damaged is listed with that as its verdict.
        """
        from magpie_core.models.registry import DEFAULT_MODEL, site_versions

        store = site_versions()
        try:
            active, problem = store.active_name, []
        except MagpieError as error:
            active, problem = "", [str(error)]
        rows = [(chosenModel() or DEFAULT_MODEL, active is None, problem)]
        names = [version.name for version in store.versions()]
        for name in names + ([active] if active and active not in names else []):
            try:
                summary = store.version(name).summary()
                verdict = [summary] if summary else []
            except MagpieError as error:
                verdict = [str(error)]
            rows.append((name, name == active, verdict))
        return rows

    def promote(self, name, reason):
        """Use a version from now on.

        Raises
        ------
        ModelError
            If there is no such version, it does not verify, or no reason is given.
        """
        from magpie_core.models.registry import site_versions

        site_versions().promote(name, user=self.userName(), reason=reason)

    def useDefault(self, reason):
        """Use the default model from now on, also if the version in use is gone (ModelError without a reason)."""
        from magpie_core.models.registry import site_versions

        site_versions().use_default(user=self.userName(), reason=reason)

    def rollBack(self):
        """Roll back to the version that was used before; returns its name.

        Raises
        ------
        ModelError
            If nothing was promoted.
        """
        from magpie_core.models.registry import DEFAULT_MODEL, site_versions

        version = site_versions().rollback(user=self.userName())
        return (chosenModel() or DEFAULT_MODEL) if version is None else version.name

    @staticmethod
    def canRollBack():
        """Whether another version, or the default model, was in use before."""
        from magpie_core.models.registry import site_versions

        return site_versions().can_roll_back

    @staticmethod
    def userName():
        """Return the user's name for the audit log; empty if it is unknown."""
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return ""
