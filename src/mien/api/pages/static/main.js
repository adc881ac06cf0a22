// Runs the page: navigation, routes, the offline banner. Each view is loaded when it is first opened.

import { connection, request } from "./api.js";
import { h } from "./dom.js";
import { dismissOldToasts, errorWithRetry, toast } from "./feedback.js";
import { watchKey } from "./key.js";
import { offers } from "./state.js";
import { chooseLanguage, LANGUAGES, language, text } from "./strings.js";

const RECONNECT_MS = 2000;

// By route. A module has `render(argument)`, which returns the root element of the view, and may have `keepAlive`, which
// keeps what the user chose or typed there while another view is shown. The root gets the events "enter" and "leave".
const views = {
  "": { nav: "recognize", file: "recognize" },
  live: { nav: "live", file: "live" },
  people: { nav: "people", file: "people" },
  unnamed: { nav: "people", file: "unnamed" },
  person: { nav: "people", file: "person" },
  history: { nav: "history", file: "history" },
  settings: { nav: "settings", file: "settings" },
  help: { nav: "help", file: "help" },
};
const main = document.getElementById("main");
const keptNodes = new Map();
const scrollPositions = new Map(); // of the views that are kept, by route
let currentRoute = "";
let leaveCurrent = () => {};

async function showRoute() {
  const leftAt = Date.now(); // the other view may take long to load
  const address = location.hash;
  const [route, argument] = address.replace(/^#\//, "").split("/");
  const view = views[route] ?? views[""];
  showNavigation(view.nav);
  document.title = `${text[route]?.title ?? text.nav[view.nav] ?? text.help.title} · Mien`;
  const node = await loadModule(view.file).then((module) => openView(module, route, argument), brokenView);
  if (address !== location.hash) return;
  scrollPositions.set(currentRoute, scrollY);
  leaveCurrent();
  dismissOldToasts(leftAt);
  leaveCurrent = () => node.dispatchEvent(new Event("leave"));
  main.replaceChildren(node);
  node.dispatchEvent(new Event("enter"));
  scrollTo(0, isKept(route) ? (scrollPositions.get(route) ?? 0) : 0);
  currentRoute = route;
}

function showNavigation(current) {
  const links = ["", "live", "people", "history", "settings"].map((route) => {
    const { nav } = views[route];
    return h("a", { href: `#/${route}`, "aria-current": nav === current && "page" }, text.nav[nav]);
  });
  document.getElementById("nav").replaceChildren(...links);
}

// A browser never fetches a module again that failed to load; with another address it does.
const loadModule = (file) => import(`./views/${file}.js`).catch(() => import(`./views/${file}.js?again=${Date.now()}`));

function openView(module, route, argument) {
  const kept = module.keepAlive && keptNodes.get(route);
  const node = kept || module.render(argument && decode(argument));
  if (module.keepAlive) keptNodes.set(route, node);
  return node;
}

const isKept = (route) => keptNodes.has(route);

function decode(argument) {
  try {
    return decodeURIComponent(argument);
  } catch {
    return argument;
  }
}

function brokenView() {
  return h("section", {}, h("h1", {}, text.errors.view), errorWithRetry(new Error(text.errors.offline), showRoute));
}

let reachable = true;

function showReachability({ detail }) {
  if (detail === reachable) return;
  reachable = detail;
  const banner = document.getElementById("offline");
  banner.hidden = reachable;
  banner.textContent = text.offline;
  if (reachable) toast(text.backOnline);
  else pollUntilReachable();
}

async function pollUntilReachable() {
  while (!reachable) {
    await new Promise((done) => setTimeout(done, RECONNECT_MS));
    await request("GET", "health").catch(() => {});
  }
}

// Followed as a link, "#main" would be taken for the name of a view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
/** Write what index.html says in English in the language of the page, and let the language be chosen. */
function translateFrame() {
  document.documentElement.lang = language;
  document.querySelector(".skip").textContent = text.skip;
  document.querySelector(".brand").setAttribute("aria-label", `Mien, ${text.nav.recognize}`);
  document.getElementById("nav").setAttribute("aria-label", text.mainNavigation);
  const version = document.querySelector('meta[name="version"]').content;
  const options = Object.entries(LANGUAGES).map(([code, name]) =>
    h("option", { value: code, lang: code, selected: code === language }, name),
  );
  const onchange = ({ target }) => chooseLanguage(target.value);
  document
    .getElementById("footer")
    .replaceChildren(
      h("span", {}, `Mien ${version}`),
      h("a", { href: "#/help" }, text.help.title),
      offers("docs") ? h("a", { href: new URL("docs", document.baseURI).href }, text.apiDocs) : "",
      h("select", { "aria-label": text.language, onchange }, options),
    );
}

translateFrame();
connection.addEventListener("reachability", showReachability);
watchKey(document.getElementById("locked"));
addEventListener("hashchange", showRoute);
showRoute();
