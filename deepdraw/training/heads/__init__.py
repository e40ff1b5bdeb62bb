"""Linear heads on the features of a frozen backbone, many at once or their optimum."""
