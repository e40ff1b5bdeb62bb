from .export import export
from .format import Format, Runner
from .html_format import Html
from .hub_format import Hub
from .onnx_format import Onnx, padded
from .proof import Proof
from .sample import Examples, Sample
from .timm_format import Timm

__all__ = ["Examples", "Format", "Html", "Hub", "Onnx", "Proof", "Runner", "Sample", "Timm", "export", "padded"]
