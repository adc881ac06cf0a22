"""Limits and default thresholds that Mien shares with Amazon Rekognition, each named once.

Source: Amazon Rekognition API Reference (the page of the operation is named beside each value) and the Developer
Guide's page "Guidelines and quotas in Amazon Rekognition".
"""

from __future__ import annotations

MATCH_THRESHOLD = 80.0
"""Least similarity (0 to 100) of a match by default.

SearchFaces and SearchFacesByImage (`FaceMatchThreshold`), SearchUsers and SearchUsersByImage
(`UserMatchThreshold`), CompareFaces (`SimilarityThreshold`).
"""

ASSOCIATION_THRESHOLD = 75.0
"""Least similarity (0 to 100) of a new face to the user that it is added to, by default.

AssociateFaces (`UserMatchThreshold`).
"""

MAX_FACES_PER_PHOTO = 100
"""Faces that are found in one photo; the largest ones count. DetectFaces, IndexFaces, CompareFaces."""

MAX_FACES_PER_USER = 100
"""Faces that one user may have. AssociateFaces; the quota "face vectors per user"."""

MAX_FACE_MATCHES = 4096
"""Faces that one search answers at most. SearchFaces and SearchFacesByImage (`MaxFaces`)."""

MAX_USER_MATCHES = 500
"""Users that one search answers at most. SearchUsers and SearchUsersByImage (`MaxUsers`)."""
