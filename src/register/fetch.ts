// The global `fetch` is there without loading anything: its instrumentation loads when the program first touches it.

/** `load` runs once, before the first use. What the program gets is Node's own function. */
export function watchFetch(load: () => void): void {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'fetch');
  if (descriptor === undefined || descriptor.configurable !== true) return;
  const settle = (): void => {
    Object.defineProperty(globalThis, 'fetch', descriptor);
  };
  Object.defineProperty(globalThis, 'fetch', {
    configurable: true,
    enumerable: descriptor.enumerable ?? true,
    get() {
      settle();
      load();
      return globalThis.fetch;
    },
    set(value: unknown) {
      settle();
      globalThis.fetch = value as typeof fetch;
    },
  });
}
