// The programs that scripts/interop.js prepared for these tests, by the name of their folder here.
import { describe } from '@jest/globals';

type Peer =
  | { readonly kind: 'ready'; readonly program: string }
  | { readonly kind: 'skipped'; readonly reason: string };

/**
 * Describes tests that need prepared peers; `body` gets their programs (an environment's Python, what Go built, or the folder of an installed package) in order.
 * Where one could not be prepared the tests are skipped and their title says why.
 */
export function describeWithPeers(
  title: string,
  names: readonly string[],
  body: (...programs: string[]) => void,
): void {
  const peers = names.map(named);
  const missing = peers.find(peer => peer.kind === 'skipped');
  const programs = peers.map(peer => (peer.kind === 'ready' ? peer.program : ''));
  if (missing === undefined) describe(title, () => body(...programs));
  else describe.skip(`${title} (${missing.reason})`, () => body(...programs));
}

function named(name: string): Peer {
  const text = process.env.KYMO_INTEROP_PEERS;
  if (text === undefined) throw new Error('these tests need prepared programs: npm run test:interop');
  const peers = JSON.parse(text) as Record<string, Peer>;
  return peers[name] ?? { kind: 'skipped', reason: `${name} was not asked for` };
}
