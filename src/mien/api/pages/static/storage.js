// Keeps the user's choices in the browser; what it does not take is kept as long as the page is open.

function open(kind) {
  const refused = new Map();
  return {
    get(name) {
      if (refused.has(name)) return refused.get(name);
      try {
        return globalThis[kind].getItem(name);
      } catch {
        return null;
      }
    },

    /** Set a value; null removes it. Returns whether the browser keeps that. */
    set(name, value) {
      try {
        if (value === null) globalThis[kind].removeItem(name);
        else globalThis[kind].setItem(name, value);
        refused.delete(name);
        return true;
      } catch {
        refused.set(name, value === null ? null : String(value));
        return false;
      }
    },
  };
}

/** Survives the tab. */
export const device = open("localStorage");

/** Ends with the tab. */
export const tab = open("sessionStorage");
