"""What a drawing is: strokes, packed and on disk, and how they become images."""
