// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the references that the configuration expands
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { loadTree } from '../../../src/collector/config/load.ts';
import { printConfig } from '../../../src/collector/config/print.ts';

const print = (text: string, env = {}) => printConfig(loadTree({ sources: [`yaml:${text}`], env }).tree!);

describe('print-config', () => {
  it('shows what was merged and expanded, as YAML that reads back', () => {
    const text = 'exporters: {jsonl: {directory: "${env:D}", n: 3, list: [a, {b: true}], none: }}';
    expect(parse(print(text, { D: '0123' }))).toEqual({
      exporters: { jsonl: { directory: 83, n: 3, list: ['a', { b: true }], none: null } },
    });
  });

  it('shows no secret', () => {
    const printed = print(
      `
exporters:
  otlp_http/token:
    endpoint: https://me:s3cret@example.com/x
    headers: {authorization: s3cret, x-anything: [s3cret]}
    api_key: s3cret
    apikey: s3cret
    tls: {key_pem: s3cret, key_file: /etc/key.pem, cert_file: /etc/cert.pem}
    auth: {username: s3cret, password: "\${env:P}"}
    client_secret: s3cret
    accessToken: s3cret
    directory: runs
`,
      { P: 's3cret' },
    );
    expect(printed).not.toContain('s3cret');
    expect(parse(printed).exporters['otlp_http/token']).toMatchObject({
      endpoint: 'https://[REDACTED]@example.com/x',
      headers: { authorization: '[REDACTED]', 'x-anything': ['[REDACTED]'] },
      tls: { key_pem: '[REDACTED]', key_file: '/etc/key.pem', cert_file: '/etc/cert.pem' },
      directory: 'runs',
    });
  });
});
