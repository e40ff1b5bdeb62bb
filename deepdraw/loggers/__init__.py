"""Where the metrics of a run go: metrics.csv, W&B, TensorBoard."""
