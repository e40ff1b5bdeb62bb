from .source import FileSource, Folder, LabeledFiles, open_class_folders
from .split import FileSplit

__all__ = ["FileSource", "FileSplit", "Folder", "LabeledFiles", "open_class_folders"]
