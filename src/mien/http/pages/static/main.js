// The frame: navigation, routes, the offline banner. Each view is loaded when it is first looked at.

import { online, call } from "./api.js";
import { failure, h, toast } from "./dom.js";
import { watchKey } from "./key.js";
import { text } from "./strings.js";

const views = {
  "": { name: "recognise", file: "recognise" },
  live: { name: "live", file: "live" },
  people: { name: "people", file: "people" },
  person: { name: "people", file: "person" },
  history: { name: "history", file: "history" },
  settings: { name: "settings", file: "settings" },
};
const main = document.getElementById("main");
const kept = new Map(); // views that keep what the user chose (photos, a half-typed form) while another is shown
let leave = () => {};

function navigation(current) {
  const links = ["", "live", "people", "history", "settings"].map((route) => {
    const { name } = views[route];
    return h("a", { href: `#/${route}`, "aria-current": name === current ? "page" : null }, text.nav[name]);
  });
  document.getElementById("nav").replaceChildren(...links);
}

async function show() {
  const address = location.hash;
  const [route, argument] = address.replace(/^#\//, "").split("/");
  const view = views[route] ?? views[""];
  navigation(view.name);
  document.title = `${text.nav[view.name]} · Mien`;
  const node = await load(view.file).then((module) => opened(module, route, argument), broken);
  if (address !== location.hash) return;
  leave();
  leave = () => node.dispatchEvent(new Event("leave"));
  main.replaceChildren(node);
  node.dispatchEvent(new Event("enter"));
}

// A browser remembers for good that a module could not be fetched: another address makes it ask again.
const load = (file) => import(`./views/${file}.js`).catch(() => import(`./views/${file}.js?again=${Date.now()}`));

function opened(module, route, argument) {
  const node = (module.keep && kept.get(route)) || module.render(argument ? unescaped(argument) : undefined);
  if (module.keep) kept.set(route, node);
  return node;
}

function unescaped(argument) {
  try {
    return decodeURIComponent(argument);
  } catch {
    return argument;
  }
}

const broken = () => h("section", {}, h("h1", {}, text.errors.view), failure(new Error(text.errors.offline), show));

let reachable = true;
online.addEventListener("state", ({ detail }) => {
  const banner = document.getElementById("offline");
  if (detail === reachable) return;
  reachable = detail;
  banner.hidden = detail;
  banner.textContent = text.offline;
  if (detail) toast(text.back);
  else knock();
});

async function knock() {
  while (!reachable) {
    await new Promise((done) => setTimeout(done, 2000));
    await call("GET", "health").catch(() => {});
  }
}

// A hash would be taken for the name of a view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
watchKey(document.getElementById("locked"), main);
addEventListener("hashchange", show);
show();
