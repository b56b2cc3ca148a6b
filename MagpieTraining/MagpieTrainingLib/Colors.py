"""Colors that differ for color-blind eyes too (Okabe and Ito), red, green and blue from 0 to 1."""

DISTINCT = (
    (0.0, 0.45, 0.7),
    (0.84, 0.37, 0.0),
    (0.0, 0.62, 0.45),
    (0.8, 0.47, 0.65),
    (0.9, 0.6, 0.0),
    (0.34, 0.71, 0.91),
    (0.94, 0.89, 0.26),
    (0.4, 0.4, 0.4),
)


def distinct(number):
    """The color of the curve or expert of a number, from 0; after the last they begin again."""
    return DISTINCT[number % len(DISTINCT)]
