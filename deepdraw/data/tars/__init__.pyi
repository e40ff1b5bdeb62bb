from .index import has_tars
from .members import Member, tar_members
from .remote import is_remote
from .source import FOLDERS, ImageTars

__all__ = [
    "FOLDERS",
    "ImageTars",
    "Member",
    "has_tars",
    "is_remote",
    "tar_members",
]
