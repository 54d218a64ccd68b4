// A configuration of any text is checked with problems that have words, printed without secrets, and never throws.
import fs from 'node:fs';
import { COMPONENTS } from '../../../src/collector/components.ts';
import { loadConfig } from '../../../src/collector/config/load.ts';
import { printConfig } from '../../../src/collector/config/print.ts';
import { formatProblem } from '../../../src/collector/config/problem.ts';
import { law, type Target } from '../target.ts';

const HIDDEN = 'hunter2';
const BAD = new URL('../../collector/config/testdata/bad/', import.meta.url);
const SHIPPED = new URL('../../../collector-config/', import.meta.url);
// biome-ignore-start lint/suspicious/noTemplateCurlyInString: these are the references that the configuration expands
const SECRETS = `receivers: {otlp: {protocols: {http: {auth: {authenticator: b}, tls: {key_pem: hunter2}}}}}
exporters: {otlp_http: {endpoint: "http://h:1", headers: {authorization: hunter2}, auth: {authenticator: b}}}
extensions:
  b: {tokens: [hunter2], token: "\${env:P}"}
  bearertokenauth/b: {tokens: [hunter2]}
  basicauth: {htpasswd: {inline: "u:hunter2"}, client_auth: {password: hunter2}}
service: {extensions: [bearertokenauth/b], pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}}
`;
const WORDS = [
  '${env:P}',
  '${env:X:-y}',
  '${yaml:a: [1]}',
  '$$',
  '${',
  '&a ',
  '*a',
  '<<: *a',
  '!!binary ',
  '|\n ',
  '>-\n ',
  '::',
  '\t',
  '---\n',
  '? ',
  '{',
  '[',
  '"',
  "'",
  '#',
  '%YAML 1.2\n',
  '0x1f',
  '1e400',
  '.nan',
  '~',
  'null',
  'true',
  '__proto__: ',
  'constructor',
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: end

export const target: Target = {
  name: 'config',
  maxBytes: 2_048,
  covers: /\/src\/collector\/|\/node_modules\/yaml\//,
  words: WORDS,
  seeds: () => [
    Buffer.from(SECRETS),
    ...[BAD, SHIPPED].flatMap(folder =>
      fs.readdirSync(folder).map(name => fs.readFileSync(new URL(name, folder))),
    ),
  ],
  run(bytes) {
    const text = new TextDecoder().decode(bytes);
    // What a configuration may do by right is left out: read any file, load any module.
    if (/file|module/.test(text)) return;
    const { config, tree, problems, warnings } = loadConfig({
      sources: [`yaml:${text}`],
      env: { P: `${HIDDEN}-`, X: '3' },
      components: COMPONENTS,
    });
    law((config === undefined) === problems.length > 0, 'no configuration and no problem, or both');
    for (const problem of [...problems, ...warnings]) {
      const line = formatProblem(problem);
      law(
        problem.message !== '' && !/[\u0000-\u001f\u007f]/.test(line),
        `not a line: ${JSON.stringify(line)}`,
      );
    }
    if (tree !== undefined) printConfig(tree);
  },
};
