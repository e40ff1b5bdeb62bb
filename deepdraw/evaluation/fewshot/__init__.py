"""Classes told from labelled drawings of each, without training."""
