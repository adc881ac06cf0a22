// Stands in for what the modules use of a browser: storage and the address of the page.

class MemoryStorage {
  #values = new Map();

  getItem(name) {
    return this.#values.get(name) ?? null;
  }

  setItem(name, value) {
    this.#values.set(name, String(value));
  }

  removeItem(name) {
    this.#values.delete(name);
  }
}

/** Start afresh, with empty storage; to be called before each test. */
export function resetBrowser() {
  globalThis.document = { baseURI: "https://mien.test/stage/" };
  for (const name of ["localStorage", "sessionStorage"]) {
    // Some versions of Node have a storage of their own that cannot be assigned.
    Object.defineProperty(globalThis, name, { value: new MemoryStorage(), configurable: true });
  }
}

/** Answer all requests with `respond(request)`, and return the list that collects them. */
export function serve(respond) {
  const requests = [];
  globalThis.fetch = async (url, options) => {
    const request = { url: String(url), ...options };
    requests.push(request);
    return respond(request, requests.length);
  };
  return requests;
}

export const json = (body, status = 200) => new Response(JSON.stringify(body), { status });
