"""Files in and out: NIfTI, DICOM, discovery of the modalities of a study."""
