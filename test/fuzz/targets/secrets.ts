// What senders and files of secrets say: headers of authentication, htpasswd files, batch keys, the names of endpoints.

import type { AuthVerdict } from '../../../src/collector/component.ts';
import { parseDurationMs, parseEndpoint } from '../../../src/collector/config/values.ts';
import {
  matchesFast,
  matchesSlow,
  parseHtpasswd,
} from '../../../src/collector/extensions/basicauth/htpasswd.ts';
import { basicAuthExtension } from '../../../src/collector/extensions/basicauth/index.ts';
import { parseBatchKey } from '../../../src/collector/journal/marks.ts';
import { batchKeyProblem } from '../../../src/collector/receivers/otlp/batch-key.ts';
import { law, type Target } from '../target.ts';

const settings = basicAuthExtension.config.parse({ htpasswd: { inline: 'u:secret' } });
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const extension = basicAuthExtension.create(
  {
    id: 'basicauth',
    logger: quiet,
    instruments: { count: () => {}, set: () => {} },
    baseDirectory: '.',
    health: () => ({ state: 'ok' }),
  },
  settings,
);
await extension.start();
const right = Buffer.from('u:secret').toString('base64');

export const target: Target = {
  name: 'secrets',
  maxBytes: 512,
  covers: /\/src\/collector\//,
  words: [
    'Basic ',
    right,
    '$apr1$',
    '$6$rounds=1000$',
    '{SSHA}',
    '$2y$04$',
    '/logs/',
    'localhost:4318',
    '1m30s',
    '[::1]:1',
  ],
  seeds: () =>
    [
      `Basic ${right}`,
      'u:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=',
      'a:$apr1$GEDwtQVc$7LqhHjYnqPNR3acRmWkIn1\n# x\nb:plain',
      'i/s/logs/7',
      '1h2m3s',
      '[::1]:4318',
    ].map(text => Buffer.from(text)),
  async run(bytes) {
    const text = Buffer.from(bytes).toString('latin1');
    const verdict: AuthVerdict = await extension.authenticator!.server!.check(() => text);
    if (verdict.kind === 'known') {
      const shown = /^basic +(\S+) *$/i.exec(text)?.[1] ?? '';
      law(Buffer.from(shown, 'base64').toString() === 'u:secret', `let in with ${text}`);
    }
    try {
      for (const kept of parseHtpasswd(text).values()) {
        if (!kept.slow) matchesFast('password', kept);
        // bcrypt is somebody else's code, and a million rounds are what the file asked for.
        else if (!/^\$2|rounds=\d{5}/.test(kept.text))
          law(!matchesSlow('password', kept.text, () => false), 'a guess was right');
      }
    } catch (error) {
      law(error instanceof Error && /^(line \d+|there are more)/.test(error.message), String(error));
    }
    const accepted = batchKeyProblem(text, 'logs') === undefined;
    if (accepted)
      law(parseBatchKey(text, 'logs') !== undefined, `a batch key that the journal does not know: ${text}`);
    const endpoint = parseEndpoint(text);
    law(endpoint === undefined || (endpoint.port >= 0 && endpoint.port < 65_536), 'a port that is none');
    const duration = parseDurationMs(text);
    law(duration === undefined || (duration >= 0 && duration <= 2 ** 31), 'a duration that no timer holds');
  },
};
