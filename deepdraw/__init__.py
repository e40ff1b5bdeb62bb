"""deepdraw trains, probes and evaluates pretrained vision encoders on hand-drawn sketches."""

__version__ = "0.1.0"
