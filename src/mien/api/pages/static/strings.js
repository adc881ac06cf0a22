// Chooses the language of the page: the one that was chosen here, else the first of the browser's that there is.

import { device } from "./storage.js";

const CHOICE = "mien-language";
const PARAMETER = "lang"; // of the address, where the browser keeps no choice

/** By code, each in its own language; `languages/<code>.js` holds its sentences. */
export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", ja: "日本語" };

const inAddress = new URLSearchParams(globalThis.location?.search).get(PARAMETER);

export const language = firstKnown([inAddress, device.get(CHOICE), ...(globalThis.navigator?.languages ?? [])]);

/** Every sentence of the page. */
export const { text } = await import(`./languages/${language}.js`);

/**
 * Say what the server says in the language of the page; where it has no words for the code, the server's sentence.
 * What varies in a sentence is in its parameters.
 */
export function serverSentence(code, sentence, parameters = {}) {
  const words = text.server[code] ?? sentence;
  return typeof words === "function" ? words(parameters) : words;
}

export function chooseLanguage(code) {
  const address = new URL(location.href);
  if (device.set(CHOICE, code)) address.searchParams.delete(PARAMETER);
  else address.searchParams.set(PARAMETER, code);
  history.replaceState(null, "", address);
  location.reload();
}

/** Find the first of some language tags, such as "de-AT", that the page speaks; English if it speaks none. */
export function firstKnown(tags) {
  const codes = tags.filter(Boolean).map((tag) => tag.toLowerCase().split("-")[0]);
  return codes.find((code) => Object.hasOwn(LANGUAGES, code)) ?? "en";
}
