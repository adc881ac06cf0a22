"""Store faces by their embeddings and answer 1:N searches: collections, faces and users in a data folder."""

from mien.gallery.faces import FaceDeletion, Refusal, Refused
from mien.gallery.gallery import Gallery
from mien.gallery.indexing import HasEmbedding
from mien.gallery.scoring import Calibration, compare
from mien.gallery.store.rows import image_id
from mien.gallery.users import Association, Disassociation, RefusedAssociation
from mien.gallery.vector_index import IndexConfig

__all__ = [
    "Association",
    "Calibration",
    "Disassociation",
    "FaceDeletion",
    "Gallery",
    "HasEmbedding",
    "IndexConfig",
    "Refusal",
    "Refused",
    "RefusedAssociation",
    "compare",
    "image_id",
]
