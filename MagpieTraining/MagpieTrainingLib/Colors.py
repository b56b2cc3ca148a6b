"""Colors that are distinguishable with color vision deficiency (Okabe and Ito), RGB 0 to 1."""

CATEGORICAL = (
    (0.0, 0.45, 0.7),
    (0.84, 0.37, 0.0),
    (0.0, 0.62, 0.45),
    (0.8, 0.47, 0.65),
    (0.9, 0.6, 0.0),
    (0.34, 0.71, 0.91),
    (0.94, 0.89, 0.26),
    (0.4, 0.4, 0.4),
)


def categoricalColor(index):
    """Return the color of a curve or expert by its index from 0; the colors repeat."""
    return CATEGORICAL[index % len(CATEGORICAL)]
