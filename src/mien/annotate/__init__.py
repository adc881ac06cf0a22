"""Photos with what was recognised drawn on them.

In: an upright photo and the faces of a recognition. Out: a picture that a person can read at a glance.
"""

from mien.annotate.annotate import annotate, open_upright
from mien.annotate.contact_sheet import Tile, contact_sheet
from mien.annotate.outline import Label, label

__all__ = ["Label", "Tile", "annotate", "contact_sheet", "label", "open_upright"]
