from .export import export
from .format import Format, Runner
from .onnx_format import Onnx
from .proof import Proof
from .sample import Examples, Sample
from .timm_format import Timm

__all__ = ["Examples", "Format", "Onnx", "Proof", "Runner", "Sample", "Timm", "export"]
