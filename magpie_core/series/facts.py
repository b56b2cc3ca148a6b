"""What the headers and the name of a series of images state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesFacts:
    """What is known of one stack of images before a pixel is read; None, 0 or empty where it is not stated.

    Attributes:
        number: Series number.
        stack: What tells this stack from the others of its series, such as "echo time 90 ms" or "phase".
        names: Series description, protocol and sequence name, best first.
        patient: Patient ID or name.
        study_date: YYYYMMDD.
        time_s: Start of the acquisition, in seconds after midnight of the study's date.
        modality: As DICOM has it, such as "MR".
        sop_class: UID of the storage class.
        image_type: Upper case, such as ("ORIGINAL", "PRIMARY", "M").
        component: "magnitude", "phase", "real" or "imaginary".
        scanning_sequence: Upper case, of "SE", "GR", "IR", "EP", "RM".
        agents: Every text about a contrast agent, as the header has it ("Gadovist", "NONE").
        body_part: As the header has it.
        plane: "axial", "sagittal", "coronal".
        spacing_mm: Of rows, columns and slices.
        extent_mm: Of rows, columns and the whole stack.
        center_mm: Of the stack, in DICOM's patient coordinates (LPS).
        frame_of_reference: UID.
        frames: Number of images.
        folder: The subfolder that holds its files, as a text; empty for the folder given.
        repeated: Whether several images lie at the same place, such as in a series over time.
    """

    number: int = 0
    stack: str = ""
    names: tuple[str, ...] = ()
    patient: str = ""
    study_uid: str = ""
    study_date: str = ""
    time_s: float | None = None
    modality: str = "MR"
    sop_class: str = ""
    image_type: tuple[str, ...] = ()
    component: str = ""
    scanning_sequence: tuple[str, ...] = ()
    repetition_ms: float | None = None
    echo_ms: float | None = None
    inversion_ms: float | None = None
    flip_deg: float | None = None
    b_value: float | None = None
    agents: tuple[str, ...] = ()
    body_part: str = ""
    plane: str = ""
    spacing_mm: tuple[float, ...] = ()
    extent_mm: tuple[float, ...] = ()
    center_mm: tuple[float, ...] = ()
    frame_of_reference: str = ""
    frames: int = 0
    folder: str = ""
    repeated: bool = False

    @property
    def label(self) -> str:
        """Number, description, what tells the stack from others, and number of images, for the user."""
        name = self.names[0].replace("/", " ") if self.names else "without a description"
        images = f"{self.frames} image{'s' if self.frames != 1 else ''}"
        return f"series {self.number} ({', '.join(part for part in (name, self.stack) if part)}, {images})"

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel; 0 where the spacing is not known."""
        if len(self.spacing_mm) != 3:
            return 0.0
        row, column, slice_ = self.spacing_mm
        return row * column * slice_ / 1000
