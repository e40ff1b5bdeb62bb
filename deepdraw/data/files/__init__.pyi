from .source import FileSource, Folder, LabeledFiles
from .split import FileSplit

__all__ = ["FileSource", "FileSplit", "Folder", "LabeledFiles"]
