// What the address says after `#`: a section, what is open in it, and its filters. Each state has a link.

export type Parameters = Record<string, string | number | boolean | undefined>;

class Route {
  #hash = $state(location.hash);
  #parts = $derived.by(() => {
    const [path = "", query = ""] = this.#hash.replace(/^#\/?/, "").split("?");
    return { path: path.split("/").map(decodeURIComponent), query: new URLSearchParams(query) };
  });

  constructor() {
    addEventListener("hashchange", () => (this.#hash = location.hash));
  }

  get section(): string {
    return this.#parts.path[0] ?? "";
  }

  /** What is open in the section. */
  get item(): string | undefined {
    return this.#parts.path[1];
  }

  parameter(name: string): string {
    return this.#parts.query.get(name) ?? "";
  }

  /** All parameters. */
  get parameters(): Record<string, string> {
    return Object.fromEntries(this.#parts.query);
  }

  /** Changes parameters in the place of those before: no step back in the history. */
  set(parameters: Parameters) {
    const hash = href([...this.#parts.path], { ...this.parameters, ...parameters });
    history.replaceState(null, "", hash);
    this.#hash = hash;
  }

  go(path: string[], parameters: Parameters = {}) {
    location.hash = href(path, parameters);
  }
}

/** The address of a state. */
export function href(path: string[], parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== "" && value !== false) query.set(name, String(value));
  }
  const text = query.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const route = new Route();
