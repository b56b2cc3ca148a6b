"""Image files: NIfTI and DICOM readers and writers, discovery of modalities, series classification."""
