// Writes numbers, dates and similarities for people, in the language of the page.

import { language, text } from "./strings.js";

const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

export const number = (value) => value.toLocaleString(language);

/** Write a similarity (0 to 100) as Mien does everywhere: one decimal, rounded down, never 100. */
export const similarity = (value) =>
  Math.min(99.9, Math.floor(value * 10 + 1e-6) / 10).toLocaleString(language, { minimumFractionDigits: 1 });

export const dateTime = (moment) =>
  new Date(moment).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

export const day = (moment) => new Date(moment).toLocaleDateString(language, { dateStyle: "medium" });

export const time = (moment) => new Date(moment).toLocaleTimeString(language);

/** Write how long ago something was, in the largest unit that it fills. */
export function ago(moment, now = Date.now()) {
  const seconds = Math.max(0, (now - new Date(moment).getTime()) / 1000);
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? [];
  return unit ? words.format(-Math.floor(seconds / length), unit) : text.justNow;
}

export const gigabytes = (bytes) => `${(bytes / 1e9).toLocaleString(language, { maximumFractionDigits: 1 })} GB`;

/** Order names as the language of the page does, "Zoë" beside "Zoe". */
export const compareNames = new Intl.Collator(language, { sensitivity: "base", numeric: true }).compare;
