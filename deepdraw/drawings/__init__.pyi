from .augment import (
    Augment,
    Augmentation,
    AugmentingRasterizer,
    ImageAugmentation,
    PaceAugmentation,
    nothing,
    place_image,
)
from .bulk import NOT_SAID, Bulk, read_bulk
from .files import SUFFIXES, TABLE_SUFFIXES, Broken, Sketch, own_word, read_sketches, whole_sketches
from .image_check import ImageCheck, warn_of_faults
from .image_headers import JPEG_SIGNATURE, NO_IMAGE, PNG_SIGNATURE, check_size, image_size, is_image, other_kind
from .images import blank, decode, draw_image, fit_to_square, gray_image, read_image, trace_drawing, trace_strokes
from .ink import Fault, find_fault, is_light_on_dark
from .kinds import DRAWING_SUFFIXES, IMAGE_SUFFIXES, is_svg, reason_not_read, word_of
from .lines import FADING, LEANING
from .packed import Complexity, Drawings, hash_text, mix, ranges
from .points import POINT_NUMBERS, PointSampler, drawings_of_points
from .raster import Channels, Images, Polarity, Rasterizer
from .resampling import SLACK, STROKE_UNIT
from .simplification import simplify
from .strokes import MAX_LENGTH, is_stroke, parse_strokes
from .svg import read_svg
from .tracing import trace
from .views import View

__all__ = [
    "DRAWING_SUFFIXES",
    "FADING",
    "IMAGE_SUFFIXES",
    "JPEG_SIGNATURE",
    "LEANING",
    "MAX_LENGTH",
    "NOT_SAID",
    "NO_IMAGE",
    "PNG_SIGNATURE",
    "POINT_NUMBERS",
    "SLACK",
    "STROKE_UNIT",
    "SUFFIXES",
    "TABLE_SUFFIXES",
    "Augment",
    "Augmentation",
    "AugmentingRasterizer",
    "Broken",
    "Bulk",
    "Channels",
    "Complexity",
    "Drawings",
    "Fault",
    "ImageAugmentation",
    "ImageCheck",
    "Images",
    "PaceAugmentation",
    "PointSampler",
    "Polarity",
    "Rasterizer",
    "Sketch",
    "View",
    "blank",
    "check_size",
    "decode",
    "draw_image",
    "drawings_of_points",
    "find_fault",
    "fit_to_square",
    "gray_image",
    "hash_text",
    "image_size",
    "is_image",
    "is_light_on_dark",
    "is_stroke",
    "is_svg",
    "mix",
    "nothing",
    "other_kind",
    "own_word",
    "parse_strokes",
    "place_image",
    "ranges",
    "read_bulk",
    "read_image",
    "read_sketches",
    "read_svg",
    "reason_not_read",
    "simplify",
    "trace",
    "trace_drawing",
    "trace_strokes",
    "warn_of_faults",
    "whole_sketches",
    "word_of",
]
