// Keeps the user's choices in the browser; where it allows no storage, as long as the page is open.

const replacements = { localStorage: new Map(), sessionStorage: new Map() };

function open(kind) {
  return {
    get(name) {
      try {
        return globalThis[kind].getItem(name);
      } catch {
        return replacements[kind].get(name) ?? null;
      }
    },

    /** Set a value; null removes it. */
    set(name, value) {
      try {
        if (value === null) globalThis[kind].removeItem(name);
        else globalThis[kind].setItem(name, value);
      } catch {
        if (value === null) replacements[kind].delete(name);
        else replacements[kind].set(name, String(value));
      }
    },
  };
}

/** Survives the tab. */
export const device = open("localStorage");

/** Ends with the tab. */
export const tab = open("sessionStorage");
