from .augment import Augment, Augmentation, AugmentingRasterizer, ImageAugmentation, nothing, place_image
from .bulk import NOT_SAID, Bulk, read_bulk
from .files import SUFFIXES, Broken, Sketch, read_sketches
from .image_headers import JPEG_SIGNATURE, NO_IMAGE, PNG_SIGNATURE, check_size, image_size, is_image
from .images import decode, draw_image, fit_to_square, is_light_on_dark, read_image
from .kinds import DRAWING_SUFFIXES, IMAGE_SUFFIXES, reason_not_read, word_of
from .packed import Complexity, Drawings, hash_text, mix, ranges
from .raster import Polarity, Rasterizer
from .simplification import simplify
from .strokes import MAX_LENGTH, is_stroke, parse_strokes
from .svg import read_svg

__all__ = [
    "DRAWING_SUFFIXES",
    "IMAGE_SUFFIXES",
    "JPEG_SIGNATURE",
    "MAX_LENGTH",
    "NOT_SAID",
    "NO_IMAGE",
    "PNG_SIGNATURE",
    "SUFFIXES",
    "Augment",
    "Augmentation",
    "AugmentingRasterizer",
    "Broken",
    "Bulk",
    "Complexity",
    "Drawings",
    "ImageAugmentation",
    "Polarity",
    "Rasterizer",
    "Sketch",
    "check_size",
    "decode",
    "draw_image",
    "fit_to_square",
    "hash_text",
    "image_size",
    "is_image",
    "is_light_on_dark",
    "is_stroke",
    "mix",
    "nothing",
    "parse_strokes",
    "place_image",
    "ranges",
    "read_bulk",
    "read_image",
    "read_sketches",
    "read_svg",
    "reason_not_read",
    "simplify",
    "word_of",
]
