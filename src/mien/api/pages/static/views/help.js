// Answers what a newcomer asks first.

import { h } from "../dom.js";
import { text } from "../strings.js";

export function render() {
  const { title, questions } = text.help;
  const answers = questions.map(([question, answer]) => [h("dt", {}, question), h("dd", {}, answer)]);
  return h("div", { class: "help" }, h("h1", {}, title), h("dl", { class: "panel" }, answers));
}
