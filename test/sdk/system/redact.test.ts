// What of a process's start may be read by others.
import { describe, expect, it } from '@jest/globals';
import {
  redactedArguments,
  redactedEnvironment,
  redactedText,
  withoutCredentials,
} from '../../../src/sdk/system/redact.ts';

const HIDDEN = '[redacted]';

describe('the environment', () => {
  it.each([
    'API_KEY',
    'WANDB_API_KEY',
    'GITHUB_TOKEN',
    'aws_secret_access_key',
    'DB_PASSWORD',
    'PGPASSFILE_PASSWD',
    'MY_CREDENTIALS',
    'HTTP_AUTHORIZATION',
    'SESSION_COOKIE',
    'SENTRY_DSN',
    'OTEL_EXPORTER_OTLP_HEADERS',
  ])('hides %s', name => {
    expect(redactedEnvironment({ [name]: 'hunter2' })).toEqual({ [name]: HIDDEN });
  });

  it('shows what is no secret, and where secrets are kept', () => {
    const shown = {
      AWS_SHARED_CREDENTIALS_FILE: '/root/.aws',
      CUDA_VISIBLE_DEVICES: '0,1',
      PWD: '/home/me',
      SSH_AUTH_SOCK: '/tmp/agent',
      TOKENIZERS_PARALLELISM: 'false',
    };
    expect({ ...redactedEnvironment(shown) }).toEqual(shown);
  });

  it('hides users of URLs, secret parameters and tokens in values under any name', () => {
    expect({
      ...redactedEnvironment({
        DATABASE_URL: 'postgres://me:hunter2@db:5432/x?sslmode=on&api_key=hunter2',
        NOTE: `uses ghp_${'a1'.repeat(18)} here`,
        LONG: 'x'.repeat(5_000),
      }),
    }).toEqual({
      DATABASE_URL: `postgres://${HIDDEN}@db:5432/x?sslmode=on&api_key=${HIDDEN}`,
      NOTE: `uses ${HIDDEN} here`,
      LONG: `${'x'.repeat(1_000)}…`,
    });
  });
});

describe('arguments', () => {
  it('hide the value of a secret option, as one argument or as two', () => {
    expect(
      redactedArguments([
        'node',
        'train.js',
        '--lr=0.1',
        '--api-key=hunter2',
        '--token',
        'hunter2',
        '--secret',
        '--steps',
        '100',
        'WANDB_API_KEY=hunter2',
        'https://me:hunter2@host/',
      ]),
    ).toEqual([
      'node',
      'train.js',
      '--lr=0.1',
      `--api-key=${HIDDEN}`,
      '--token',
      HIDDEN,
      '--secret',
      '--steps',
      '100',
      `WANDB_API_KEY=${HIDDEN}`,
      `https://${HIDDEN}@host/`,
    ]);
  });
});

describe('a diff', () => {
  it('hides what is assigned to a secret name, and leaves code as it is', () => {
    const kept = ['+const key = hash(row);', '-for (const [token, id] of table) {', ' let step = 3;'];
    const hidden = [
      '+  apiKey: "hunter2-hunter2",',
      "+password = 'hunter2'",
      '+AWS_SECRET_ACCESS_KEY=hunter2',
      '+  headers: { Authorization: `Bearer hunter2hunter2` }',
      '+secret: hunter2hunter2hunter2hunter2',
      '-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----',
      '+url = "https://me:hunter2@host"',
    ];
    const shown = redactedText([...kept, ...hidden].join('\n'));
    expect(shown).not.toContain('hunter2');
    for (const line of kept) expect(shown).toContain(line);
    expect(shown).toContain('apiKey: [redacted],');
  });

  it('of hostile text takes no time that matters', () => {
    const texts = [
      'key '.repeat(60_000),
      'a://'.repeat(60_000),
      `${'A'.repeat(200_000)}KEY`,
      '?a='.repeat(80_000),
    ];
    for (const text of texts) expect(redactedText(text).length).toBeGreaterThan(0);
    expect(withoutCredentials('a://b@c')).toBe(`a://${HIDDEN}@c`);
  }, 10_000);
});
