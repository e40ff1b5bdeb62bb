from .export import export
from .format import Format, Runner
from .html_format import Html
from .hub_format import Hub
from .inputs import padded
from .onnx_format import Onnx
from .proof import Proof
from .pt2_format import Pt2
from .sample import Examples, Sample
from .timm_format import Timm

__all__ = ["Examples", "Format", "Html", "Hub", "Onnx", "Proof", "Pt2", "Runner", "Sample", "Timm", "export", "padded"]
