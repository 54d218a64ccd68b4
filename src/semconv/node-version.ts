// Which Node Kymo runs on, and what to say where it is too old.

/** What `engines` in package.json says. */
const LEAST: readonly [number, number] = [22, 15];

/** Undefined when this Node is new enough. */
export function nodeTooOld(): string | undefined {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > LEAST[0] || (major === LEAST[0] && minor >= LEAST[1])) return undefined;
  return `Kymo needs Node ${LEAST.join('.')} or newer; this is ${process.version} (${process.execPath})`;
}
