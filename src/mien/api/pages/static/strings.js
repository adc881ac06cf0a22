// Chooses the language of the page: the one that was chosen here, else the first of the browser's that there is.

import { device } from "./storage.js";

const CHOICE = "mien-language";

/** By code, each in its own language; `languages/<code>.js` holds its sentences. */
export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", ja: "日本語" };

export const language = firstKnown([device.get(CHOICE), ...(globalThis.navigator?.languages ?? [])]);

/** Every sentence of the page. */
export const { text } = await import(`./languages/${language}.js`);

export function chooseLanguage(code) {
  device.set(CHOICE, code);
  location.reload();
}

/** Find the first of some language tags, such as "de-AT", that the page speaks; English if it speaks none. */
export function firstKnown(tags) {
  const codes = tags.filter(Boolean).map((tag) => tag.toLowerCase().split("-")[0]);
  return codes.find((code) => Object.hasOwn(LANGUAGES, code)) ?? "en";
}
