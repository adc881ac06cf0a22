"""Says who is at the door: `python examples/door_camera.py 0` for the first camera, or a video file or address.

A name is said when it was seen on three frames within ten seconds, and again after a minute. Nothing is stored. There
is no liveness check: a printed photo is recognised like a face, so do not open a door with this alone.
"""

import sys
import time
from collections import defaultdict, deque

import cv2

import mien
from mien.domain.records import Likelihood

FRAMES, WITHIN_SECONDS, SILENT_SECONDS = 3, 10.0, 60.0
FRAMES_PER_SECOND = 2


def main(source: str) -> int:
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not camera.isOpened():
        print(f"There is no camera or video {source}.", file=sys.stderr)
        return 1
    step = max(1, round((camera.get(cv2.CAP_PROP_FPS) or 30) / FRAMES_PER_SECOND))
    seen: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=FRAMES))
    said: dict[str, float] = {}
    frames = 0
    with mien.open_app() as app:
        while True:
            is_read, frame = camera.read()
            if not is_read:
                return 0
            frames += 1
            if frames % step:
                continue
            found = app.recognize(cv2.imencode(".jpg", frame)[1].tobytes(), store=False)
            now = time.monotonic()
            for face in found.faces:
                if face.name is None or face.likelihood is not Likelihood.VERY_LIKELY:
                    continue
                seen[face.name].append(now)
                is_steady = len(seen[face.name]) == FRAMES and now - seen[face.name][0] <= WITHIN_SECONDS
                if is_steady and now - said.get(face.name, -SILENT_SECONDS) >= SILENT_SECONDS:
                    said[face.name] = now
                    print(f"{time.strftime('%H:%M:%S')} {face.name}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "0"))
