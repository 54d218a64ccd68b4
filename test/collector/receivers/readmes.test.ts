// Every setting of the OTLP components is in the README beside them, and every default there is the schema's.
import fs from 'node:fs';
import { expect, it } from '@jest/globals';
import { z } from 'zod';
import { debugExporter } from '../../../src/collector/exporters/debug/index.ts';
import { otlpGrpcExporter } from '../../../src/collector/exporters/otlp_grpc/index.ts';
import { otlpHttpExporter } from '../../../src/collector/exporters/otlp_http/index.ts';
import { basicAuthExtension } from '../../../src/collector/extensions/basicauth/index.ts';
import { bearerTokenAuthExtension } from '../../../src/collector/extensions/bearertokenauth/index.ts';
import { healthCheckExtension } from '../../../src/collector/extensions/health_check/index.ts';
import { queryExtension } from '../../../src/collector/extensions/query/index.ts';
import { otlpReceiver } from '../../../src/collector/receivers/otlp/index.ts';

interface Node {
  readonly properties?: Record<string, Node>;
  readonly default?: unknown;
}

function settings(node: Node, prefix: readonly string[] = []): [string, unknown][] {
  return Object.entries(node.properties ?? {}).flatMap(([key, inner]): [string, unknown][] =>
    inner.properties === undefined
      ? [[[...prefix, key].join('::'), inner.default]]
      : settings(inner, [...prefix, key]),
  );
}

/** The first two cells of each row whose first one is code. */
function documented(file: string): Map<string, string> {
  const readme = fs.readFileSync(
    new URL(`../../../src/collector/${file}/README.md`, import.meta.url),
    'utf8',
  );
  const rows = readme.matchAll(/^\| `([^`]+)` +\| ([^|]+) \|/gm);
  return new Map([...rows].map(([, name, value]) => [name!, value!.trim()]));
}

const COMPONENTS = [
  ['receivers/otlp', otlpReceiver.config],
  ['exporters/debug', debugExporter.config],
  ['exporters/otlp_http', otlpHttpExporter.config],
  ['exporters/otlp_grpc', otlpGrpcExporter.config],
  ['extensions/health_check', healthCheckExtension.config],
  ['extensions/query', queryExtension.config],
  ['extensions/bearertokenauth', bearerTokenAuthExtension.config],
  ['extensions/basicauth', basicAuthExtension.config],
] as const;

it.each(COMPONENTS)('%s', (file, schema) => {
  const inReadme = documented(file);
  const all = settings(z.toJSONSchema(schema, { io: 'input' }) as Node);
  expect(all.length).toBeGreaterThan(0);
  for (const [path, value] of all) {
    // The blocks of both protocols share tables, and what is said elsewhere is named there by its block.
    const name = path.replace(/^protocols::(grpc|http)::/, '');
    const short = name.endsWith('::enabled') ? name.replace(/.*::/, '') : name;
    const cell = inReadme.get(name) ?? inReadme.get(short) ?? inReadme.get(name.split('::')[0]!);
    expect([path, cell === undefined ? 'missing' : 'there']).toEqual([path, 'there']);
    if (!inReadme.has(name) || value === undefined) continue;
    const shown = typeof value === 'object' ? JSON.stringify(value).replace(/[",\s]/g, '') : String(value);
    expect([path, cell!.replace(/[`",\s]/g, '')]).toEqual([path, expect.stringContaining(shown)]);
  }
});
