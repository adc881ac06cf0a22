"""Write XMP sidecars: who is in a photo and where, as the Metadata Working Group's face regions.

Source: Guidelines for Handling Image Metadata 2.0, 5.9 (Metadata Working Group, 2010). As in digiKam, Lightroom and
Immich, a region's place is that in the picture as it is stored, before EXIF's orientation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from mien.domain.faces import Box

XMP_SUFFIX = ".xmp"
"""Follows the photo's whole name, as in `photo.jpg.xmp`, so that two photos never share a sidecar."""

_TO_STORED: dict[int, Callable[[float, float], tuple[float, float]]] = {
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (y, 1 - x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (1 - y, x),
}
"""By EXIF's orientation: from a point of the upright picture to that of the stored one."""

_TEMPLATE = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#">
   <dc:subject><rdf:Bag>{subjects}</rdf:Bag></dc:subject>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="{width}" stDim:h="{height}" stDim:unit="pixel"/>
    <mwg-rs:RegionList><rdf:Bag>
{regions}
    </rdf:Bag></mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
_REGION = (
    '     <rdf:li><rdf:Description mwg-rs:Name={name} mwg-rs:Type="Face"><mwg-rs:Area stArea:x="{x:.6f}"'
    ' stArea:y="{y:.6f}" stArea:w="{w:.6f}" stArea:h="{h:.6f}" stArea:unit="normalized"/></rdf:Description></rdf:li>'
)


@dataclass(frozen=True, slots=True)
class Region:
    """A named face; its box is in fractions of the upright photo."""

    name: str
    box: Box


def sidecar(regions: Sequence[Region], width: int, height: int, orientation: int) -> bytes:
    """Return an XMP sidecar.

    Args:
        regions: The named faces.
        width, height: Pixels of the picture as it is stored.
        orientation: EXIF's, 1 to 8.
    """
    names = dict.fromkeys(region.name for region in regions)
    subjects = "".join(f"<rdf:li>{escape(name)}</rdf:li>" for name in names)
    areas = "\n".join(_region(region, orientation) for region in regions)
    return _TEMPLATE.format(subjects=subjects, regions=areas, width=width, height=height).encode()


def _region(region: Region, orientation: int) -> str:
    box = region.box
    x, y = box.left + box.width / 2, box.top + box.height / 2
    wide, high = (box.height, box.width) if orientation >= 5 else (box.width, box.height)
    if orientation in _TO_STORED:
        x, y = _TO_STORED[orientation](x, y)
    return _REGION.format(name=quoteattr(region.name), x=x, y=y, w=wide, h=high)
