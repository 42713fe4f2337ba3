"""Kinds of body fields that several calls share."""

import json
import unicodedata
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

Visibility = Literal["private", "public"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SUFFIXES: dict[str, frozenset[str]] = {
    "image": IMAGE_SUFFIXES,
    "video": frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm"}),
    "lidar": frozenset({".pcd", ".las", ".laz", ".bin", ".ply"}),
    "mcap": frozenset({".mcap"}),
    "splat": frozenset({".ply", ".splat"}),
    "image_3d": frozenset({".nii", ".gz", ".dcm"}),
}


def is_image_path(path: str) -> bool:
    """Whether the platform takes a file for an image, by its suffix."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def _plain(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("Control characters are not allowed.")
    return text


def _one_segment(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise ValueError("This name may not contain a slash.")
    return _plain(text)


def _relative_path(text: str) -> str:
    parts = text.split("/")
    if "\\" in text or any(part in ("", ".", "..") for part in parts):
        raise ValueError("Enter a relative path with forward slashes, without empty parts, `.` or `..`.")
    return _plain(text)


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@+-]{1,64}$")]
DatasetName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_one_segment)
]
ProjectName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_plain)
]
ExportName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_plain)
]
Slug = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[-a-zA-Z0-9_]+$")
]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_relative_path)]


class Body(BaseModel):
    """A request body; fields that nobody knows are passed over, as Django REST framework does."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, data: Any) -> Any:
        # JSON can spell half of a character, which can be neither stored nor sent back.
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("Text must be valid Unicode.") from None
        return data
