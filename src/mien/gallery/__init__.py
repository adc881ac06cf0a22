"""Remembers faces: collections, faces and users in a data folder; answers 1:N searches."""

from mien.gallery.gallery import Gallery
from mien.gallery.indexing import HasEmbedding
from mien.gallery.results import Association, Disassociation, FaceDeletion, Refusal, Refused, RefusedAssociation
from mien.gallery.scoring import similarity
from mien.gallery.store.rows import image_id

__all__ = [
    "Association",
    "Disassociation",
    "FaceDeletion",
    "Gallery",
    "HasEmbedding",
    "Refusal",
    "Refused",
    "RefusedAssociation",
    "image_id",
    "similarity",
]
