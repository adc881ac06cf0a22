"""Measure face_recognition: reads lines of JSON with photo paths, writes the seconds from bytes to encodings."""

import json
import sys
import time
from io import BytesIO
from pathlib import Path

import face_recognition

for line in sys.stdin:
    photos = [Path(path).read_bytes() for path in json.loads(line)]
    start = time.perf_counter()
    for photo in photos:
        face_recognition.face_encodings(face_recognition.load_image_file(BytesIO(photo)))
    print(time.perf_counter() - start, flush=True)
