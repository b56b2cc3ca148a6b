"""From corrected segmentations to a better model: cohort, ranking, teaching, versions."""

import getpass
from pathlib import Path

from slicer.i18n import tr as _

from magpie_core.errors import InputError

from .SegmentationExporter import SegmentationExporter
from .VolumeExporter import VolumeExporter
from .WorkerPort import WorkerPort
from .WorkerTask import WorkerTask

ENOUGH_CASES = 20
LEAST_CASES = 3


class FinetuningLogic:
    """Keeps corrected cases and teaches the model with them; takes nodes and values, and knows no widgets.

    Teaching has a worker process of its own, so that one can go on segmenting meanwhile.

    Parameters
    ----------
    port
        WorkerPort for short jobs, shared with the segmentation.
    teachingPort
        WorkerPort for teaching; one of its own by default.

    Attributes
    ----------
    adding, ranking, teaching
        WorkerTask of each kind of job, with its signals.
    """

    def __init__(self, port, teachingPort=None):
        self._port = port
        self._teachingPort = teachingPort or WorkerPort()
        self.adding = WorkerTask(port)
        self.ranking = WorkerTask(port)
        self.teaching = WorkerTask(self._teachingPort)
        self._count = 0

    def poll(self):
        """Take the messages of both workers; does not wait."""
        self._port.poll()
        self._teachingPort.poll()

    def close(self):
        """End the worker that teaches; what it has learned so far is kept, and it goes on when asked again."""
        self.teaching.forget()
        self._teachingPort.close()

    @staticmethod
    def cases(cohortFolder):
        """The cases in a cohort; none if the folder is empty or missing.

        Raises
        ------
        InputError
            If the folder holds something else, or its log was changed.
        """
        from magpie_core.cohort.cohort import Cohort

        folder = Path(cohortFolder)
        if not folder.is_dir() or not any(folder.iterdir()):
            return []
        return Cohort(folder).cases()

    def add(self, cohortFolder, volumes, result, patient):
        """Begin to add a corrected study to the cohort; `adding` tells the end.

        Parameters
        ----------
        volumes
            Modality -> volume node.
        result
            SegmentationResult, as corrected.
        patient
            As the site names the patient; only a salted hash of it is kept.

        Raises
        ------
        InputError
            If something is missing, or the segments cannot be written.
        """
        if not str(cohortFolder):
            raise InputError(_("No folder is chosen for the cases"), remedy=_("Choose one, it may be new"))
        if not patient.strip():
            raise InputError(
                _("The patient is not named"),
                cause=_("cases of one patient must stay together"),
                remedy=_("Give the number that your site uses; only a hash of it is kept"),
            )
        reference = result.referenceNode
        if reference is None:
            raise InputError(_("The volume of the segmentation is not in the scene any more"))
        self._count += 1
        folder = self._port.folder / f"case-{self._count}"
        folder.mkdir()
        exporter = SegmentationExporter()
        inputs = VolumeExporter().exportStudy(volumes, folder)
        exporter.export(result.segmentationNode, reference, folder / "labels.nii")
        proposal = None
        if result.proposalNode is not None:
            proposal = str(folder / "proposal.nii")
            exporter.export(result.proposalNode, reference, proposal)
        self.adding.start(
            {
                "kind": "add",
                "cohort": str(cohortFolder),
                "inputs": inputs,
                "labels": str(folder / "labels.nii"),
                "proposal": proposal,
                "patient": patient.strip(),
                "who": self.who(),
                "name": reference.GetName(),
            }
        )

    def rank(self, studiesFolder):
        """Begin to rank the studies in a folder by how much they would teach; `ranking` tells the end."""
        self.ranking.start({"kind": "rank", "folder": str(studiesFolder)})

    def teach(self, cohortFolder, minutes, **options):
        """Begin to teach the model in use the cases of a cohort; `teaching` tells the end.

        What an interrupted teaching has learned is used, unless the cases are others by now.
        """
        from magpie_core.models.registry import site_versions

        store = site_versions()
        name = f"site-{len(store.versions()) + 1}"
        self.teaching.start(
            {
                "kind": "teach",
                "cohort": str(cohortFolder),
                "run": str(store.folder / "runs" / name),
                "name": name,
                "minutes": minutes,
                "who": self.who(),
                **options,
            }
        )

    @staticmethod
    def versions():
        """(name, whether in use, verdict) of the model that came with MAGPIE and of each version of the site."""
        from magpie_core.models.registry import DEFAULT_MODEL, site_versions

        store = site_versions()
        active = store.active
        rows = [(DEFAULT_MODEL, active is None, [])]
        for version in store.versions():
            rows.append((version.name, version == active, version.record().get("verdict", [])))
        return rows

    def promote(self, name, reason):
        """Use a version from now on.

        Raises
        ------
        ModelError
            If there is no such version, it does not verify, or no reason is given.
        """
        from magpie_core.models.registry import site_versions

        site_versions().promote(name, who=self.who(), reason=reason)

    def rollBack(self):
        """Use again what was used before; returns its name.

        Raises
        ------
        ModelError
            If nothing was promoted.
        """
        from magpie_core.models.registry import DEFAULT_MODEL, site_versions

        version = site_versions().rollback(who=self.who())
        return DEFAULT_MODEL if version is None else version.name

    @staticmethod
    def canRollBack():
        """Whether another version was in use before."""
        from magpie_core.models.registry import site_versions

        return site_versions().active is not None

    @staticmethod
    def who():
        """The user's name, for the log."""
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return ""
