"""Tells which marker stands for which face: what the painter paints and the fake engine reads.

A face is a square marker of OpenCV's ArUco dictionary of 1,000, with a white rim. Its number says who it is and on
which of ten photos, and survives JPEG, scaling, cropping and turning. Source: Garrido-Jurado et al., Automatic
generation and detection of highly reliable fiducial markers under occlusion, Pattern Recognition 2014.
"""

from __future__ import annotations

from functools import cache

import cv2

PHOTOS = 10
PEOPLE = 100
CELLS = 8
"""Cells along a face's side: four of the code, a black frame, and the white rim."""

CAST = (
    "Ada",
    "Grace",
    "Edith",
    "Robert",
    "Venus",
    "Salma",
    "Sheryl",
    "Hedy",
    "Obama",
    "Biden",
    "Bystander",
)
"""The people who have names; all others are numbers."""

LOOK_ALIKES = {98: 8, 99: 9}
"""Person 98 looks like 8 (Obama), and 99 like 9 (Biden): alike enough to be doubtful, without being the same."""


@cache
def dictionary() -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_1000)


def person_number(person: str | int) -> int:
    """The number (0..99) of a person who is given by name or by number."""
    number = CAST.index(person) if isinstance(person, str) else person
    if not 0 <= number < PEOPLE:
        raise ValueError(f"People are the numbers from 0 to {PEOPLE - 1}, not {person}.")
    return number


def marker_number(person: str | int, photo: int) -> int:
    """The marker (0..999) of a person on a photo; photos that are ten apart share a marker."""
    return person_number(person) * PHOTOS + photo % PHOTOS


def person_and_photo(marker: int) -> tuple[int, int]:
    """The inverse of `marker_number`."""
    return divmod(marker, PHOTOS)
