"""Draw recognitions on photos: outlines and name tags on one photo, or a contact sheet of several."""

from mien.annotate.annotate import annotate, open_upright
from mien.annotate.contact_sheet import Tile, contact_sheet
from mien.annotate.labels import Label, can_write, label

__all__ = ["Label", "Tile", "annotate", "can_write", "contact_sheet", "label", "open_upright"]
