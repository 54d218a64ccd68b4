// An object of JSON texts: entries by nested place, written out without reading the values.

type Node = string | Map<string, Node>;

export class JsonTree {
  readonly #root = new Map<string, Node>();

  get size(): number {
    return this.#root.size;
  }

  set(path: readonly string[], json: string): void {
    let at = this.#root;
    for (const part of path.slice(0, -1)) {
      let next = at.get(part);
      if (!(next instanceof Map)) {
        next = new Map<string, Node>();
        at.set(part, next);
      }
      at = next;
    }
    at.set(path.at(-1) ?? '', json);
  }

  remove(path: readonly string[]): void {
    let at: Node | undefined = this.#root;
    for (const part of path.slice(0, -1)) at = at instanceof Map ? at.get(part) : undefined;
    if (at instanceof Map) at.delete(path.at(-1) ?? '');
  }

  /** What `form` makes of each top-level entry. */
  toEntries(form: (key: string, json: string) => string): string[] {
    return [...this.#root].map(([key, node]) => form(key, write(node)));
  }

  toJson(): string {
    return write(this.#root);
  }
}

function write(node: Node): string {
  if (typeof node === 'string') return node === '' ? 'null' : node;
  let text = '';
  for (const [key, inner] of node) text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${write(inner)}`;
  return `{${text}}`;
}
