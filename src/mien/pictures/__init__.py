"""Photos with what was recognised drawn on them.

In: an upright photo and the faces of a recognition. Out: a picture that a person can read at a glance.
"""

from mien.pictures.annotate import annotate
from mien.pictures.label import Label, label
from mien.pictures.photo import open_upright
from mien.pictures.sheet import Tile, contact_sheet

__all__ = ["Label", "Tile", "annotate", "contact_sheet", "label", "open_upright"]
