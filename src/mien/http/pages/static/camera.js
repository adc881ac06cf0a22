// Opens the camera, and says in a sentence why it did not open.

import { text } from "./strings.js";

const sentences = {
  NotAllowedError: text.live.refused,
  NotFoundError: text.live.absent,
  OverconstrainedError: text.live.absent,
  NotReadableError: text.live.busy,
};

export async function start(video, ended = () => {}) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(text.live.insecure);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" }, audio: false });
  } catch (error) {
    throw new Error(sentences[error.name] ?? text.live.absent, { cause: error });
  }
  stream.getTracks().forEach((track) => track.addEventListener("ended", ended));
  video.srcObject = stream;
  await video.play().catch(() => {}); // the view may have been left meanwhile
  return () => {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  };
}
