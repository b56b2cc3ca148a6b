"""Types that flow through the package: volumes in RAS world coordinates (mm), studies, modalities, label schemas."""
