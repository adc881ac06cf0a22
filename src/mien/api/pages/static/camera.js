// Opens the camera, and grabs frames from it.

import { createCanvas, encodeJpeg } from "./photo.js";
import { text } from "./strings.js";

const MESSAGES = {
  NotAllowedError: text.live.denied,
  NotFoundError: text.live.absent,
  OverconstrainedError: text.live.absent,
  NotReadableError: text.live.busy,
};

/**
 * Show a camera in a <video>: the one of the id if it is there, else the one that looks at the user.
 *
 * Returns a function that closes it; an Error says why it did not open.
 */
export async function openCamera(video, onEnded, cameraId = null) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(text.live.insecure);
  let stream;
  try {
    const camera = cameraId ? { deviceId: { ideal: cameraId } } : { facingMode: "user" };
    const constraints = { video: { width: 640, height: 480, ...camera }, audio: false };
    stream = await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    throw new Error(MESSAGES[error.name] ?? text.live.absent, { cause: error });
  }
  for (const track of stream.getTracks()) track.addEventListener("ended", onEnded);
  video.srcObject = stream;
  await video.play().catch(() => {}); // the view may have been left in the meantime
  return () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

/** List the cameras, each with `id` and `name`; names are empty until one may be used. */
export async function cameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  return devices.filter(({ kind }) => kind === "videoinput").map(({ deviceId: id, label: name }) => ({ id, name }));
}

/** Encode the current frame as a JPEG blob. */
export function captureFrame(video, quality = 0.85) {
  const canvas = createCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  return encodeJpeg(canvas, quality);
}
