// bearertokenauth and basicauth in front of a real receiver, and behind real forwarders.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { hashSync } from 'bcryptjs';
import type { Authenticator, Extension } from '../../../src/collector/component.ts';
import { COMPONENTS } from '../../../src/collector/components.ts';
import { loadConfig, loadTree } from '../../../src/collector/config/load.ts';
import { printConfig } from '../../../src/collector/config/print.ts';
import { formatProblem } from '../../../src/collector/config/problem.ts';
import { otlpGrpcExporter } from '../../../src/collector/exporters/otlp_grpc/index.ts';
import { otlpHttpExporter } from '../../../src/collector/exporters/otlp_http/index.ts';
import { MAX_WAITING } from '../../../src/collector/extensions/basicauth/compare.ts';
import { apr1, shaCrypt } from '../../../src/collector/extensions/basicauth/crypt.ts';
import { basicAuthExtension } from '../../../src/collector/extensions/basicauth/index.ts';
import { bearerTokenAuthExtension } from '../../../src/collector/extensions/bearertokenauth/index.ts';
import { EXPORT_METHODS, identity } from '../../../src/collector/receivers/otlp/grpc-server.ts';
import { batchOf, exporterContext } from '../exporters/otlp_http/harness.ts';
import {
  logsRequest,
  post,
  recordingLogger,
  request,
  startReceiver,
  until,
} from '../receivers/otlp/harness.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-auth-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const TYPES = { bearertokenauth: bearerTokenAuthExtension, basicauth: basicAuthExtension };

/** Extensions by id, started, as a collector would. */
async function authenticators(extensions: Record<string, Record<string, unknown>>) {
  const logger = recordingLogger();
  const started = new Map<string, Authenticator>();
  for (const [id, settings] of Object.entries(extensions)) {
    const type = TYPES[id.split('/')[0] as keyof typeof TYPES];
    const context = {
      id,
      logger,
      instruments: { count: () => {}, set: () => {} },
      baseDirectory: folder,
      health: () => ({ state: 'ok' as const }),
    };
    const extension: Extension = type.create(context, type.config.parse(settings) as never);
    await extension.start();
    ends.push(() => extension.stop());
    started.set(id, extension.authenticator!);
  }
  return { started, logger };
}

/** A receiver that asks one extension who sends. */
async function guarded(id: string, settings: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const { started, logger } = await authenticators({ [id]: settings });
  const auth = { auth: { authenticator: id }, ...more };
  const receiver = await startReceiver({ http: auth, grpc: auth }, { authenticators: started });
  ends.push(async () => {
    await receiver.receiver.stop(1_000);
    expect(receiver.ingest.reserved).toBe(0);
  });
  return { ...receiver, extensionLogger: logger };
}

const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});
const status = async (port: number, headers: Record<string, string>) =>
  (await post(port, 'logs', logsRequest(), headers)).status;

function grpcCode(port: number, headers: Record<string, string>): Promise<number> {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  ends.push(() => client.close());
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise(resolve => {
    const bytes = Buffer.from(logsRequest());
    const deadline = Date.now() + 20_000;
    client.makeUnaryRequest(EXPORT_METHODS.logs, identity, identity, bytes, metadata, { deadline }, error =>
      resolve(error?.code ?? grpc.status.OK),
    );
  });
}

describe('bearertokenauth', () => {
  it('lets in who shows one of its tokens, over HTTP and gRPC, and nobody else', async () => {
    const {
      http,
      grpc: rpc,
      ingest,
      instruments,
    } = await guarded('bearertokenauth', { tokens: ['new one', 'old'] });
    for (const authorization of ['Bearer new one', 'Bearer old']) {
      expect(await status(http, { authorization })).toBe(200);
      expect(await grpcCode(rpc, { authorization })).toBe(grpc.status.OK);
    }
    expect(ingest.stored).toHaveLength(4);
    const wrong = [
      'Bearer ol',
      'Bearer oldd',
      'bearer old',
      'old',
      'Bearer',
      'Basic old',
      'Bearer new',
      'Bearer old, x',
    ];
    for (const authorization of wrong) {
      expect([authorization, await status(http, { authorization })]).toEqual([authorization, 401]);
      expect(await grpcCode(rpc, { authorization })).toBe(grpc.status.UNAUTHENTICATED);
    }
    expect(await status(http, {})).toBe(401);
    expect(await grpcCode(rpc, {})).toBe(grpc.status.UNAUTHENTICATED);
    expect(ingest.stored).toHaveLength(4);
    const rejected = (transport: string) =>
      instruments.sum('kymo_receiver_rejected_requests', { reason: 'auth', transport });
    expect([rejected('http'), rejected('grpc')]).toEqual([wrong.length + 1, wrong.length + 1]);
  });

  it('says no before the body: with the challenge, without the token, and on every path', async () => {
    const { http, ingest } = await guarded('bearertokenauth', { token: 'hunter2' });
    const answer = await post(http, 'logs', logsRequest(), { 'content-type': 'application/json' });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(JSON.parse(answer.body.toString())).toEqual({
      code: 16,
      message: 'the credentials are missing or wrong',
    });
    for (const url of ['/', '/v1/logs/../x', '/metrics'])
      expect((await request(http, { path: url })).status).toBe(401);
    // 60 MiB are announced and never sent: nothing is reserved for them.
    const big = await request(http, {
      path: '/v1/logs',
      headers: { 'content-length': 60 << 20, expect: '100-continue' },
    });
    expect([big.status, ingest.peak]).toEqual([401, 0]);
  });

  it('takes another header and scheme', async () => {
    const { http } = await guarded('bearertokenauth', { token: 'abc', header: 'X-Api-Key', scheme: '' });
    expect(await status(http, { 'x-api-key': 'abc' })).toBe(200);
    expect(await status(http, { 'x-api-key': 'Bearer abc' })).toBe(401);
    expect(await status(http, { authorization: 'Bearer abc' })).toBe(401);
  });

  it('reads its file again when it changes, and keeps what it had when that cannot be read', async () => {
    const file = path.join(folder, 'tokens');
    const replace = (text: string) => {
      fs.writeFileSync(`${file}.tmp`, text);
      fs.renameSync(`${file}.tmp`, file);
    };
    replace('one\n\ntwo\n');
    const { http, extensionLogger: logger } = await guarded('bearertokenauth', { filename: 'tokens' });
    expect(await status(http, { authorization: 'Bearer two' })).toBe(200);
    replace('two\nthree\n');
    await until(
      () => logger.lines.some(line => line.message.includes('was read again')),
      'the new tokens',
      15_000,
    );
    expect(await status(http, { authorization: 'Bearer three' })).toBe(200);
    expect(await status(http, { authorization: 'Bearer one' })).toBe(401);
    replace('\n');
    await until(() => logger.lines.some(line => line.level === 'warn'), 'the warning', 15_000);
    expect(await status(http, { authorization: 'Bearer three' })).toBe(200);
    expect(JSON.stringify(logger.lines)).not.toMatch(/three|two/);
  });

  it('does not start without its file', async () => {
    await expect(authenticators({ bearertokenauth: { filename: 'nowhere' } })).rejects.toThrow(
      /^extensions::bearertokenauth::filename: cannot use .*nowhere: ENOENT/,
    );
  });
});

describe('basicauth', () => {
  const kept = {
    plain: 'pass:word',
    sha: `{SHA}${createHash('sha1').update('pass:word').digest('base64')}`,
    ssha: `{SSHA}${Buffer.concat([createHash('sha1').update('pass:wordsalt').digest(), Buffer.from('salt')]).toString('base64')}`,
    apr1: apr1('pass:word', '$apr1$salt$'),
    sha512: shaCrypt('pass:word', '$6$rounds=1000$salt$'),
    bcrypt: hashSync('pass:word', 4).replace('$2b$', '$2y$'),
  };

  it('knows the formats of htpasswd', async () => {
    fs.writeFileSync(
      path.join(folder, 'htpasswd'),
      Object.entries(kept)
        .map(([user, text]) => `${user}:${text}\n`)
        .join(''),
    );
    const { http, grpc: rpc } = await guarded('basicauth', {
      htpasswd: { file: 'htpasswd', inline: '# a comment\n\nplain:another\n' },
    });
    for (const user of Object.keys(kept)) {
      const [right, wrong] = user === 'plain' ? ['another', 'pass:word'] : ['pass:word', 'pass:wor'];
      // Twice: what was right is remembered, what was wrong is not.
      for (let i = 0; i < 2; i++) {
        expect([user, await status(http, basic(user, right))]).toEqual([user, 200]);
        expect([user, await status(http, basic(user, wrong))]).toEqual([user, 401]);
      }
      expect(await grpcCode(rpc, basic(user, right))).toBe(grpc.status.OK);
      expect(await grpcCode(rpc, basic(user, wrong))).toBe(grpc.status.UNAUTHENTICATED);
    }
    for (const headers of [
      {},
      basic('nobody', 'pass:word'),
      { authorization: 'Basic !' },
      { authorization: 'Basic YQ==' },
    ])
      expect(await status(http, headers)).toBe(401);
    expect((await post(http, 'logs', logsRequest())).headers['www-authenticate']).toMatch(/^Basic realm=/);
  });

  // Written by `openssl passwd` with -apr1, -5, -6 and -1.
  it.each([
    ['$apr1$GEDwtQVc$7LqhHjYnqPNR3acRmWkIn1'],
    ['$5$abc$aw8kcfRnzkuA1XFRzd1AgTNuyzM2RdMYKc3X22kKYc0'],
    ['$6$abc$DgQcmr5KFqu3fq81mYtIJay1T2LBpa.rQ2RhGMZh1rrZZTaVbmnQH3Ulo10Skn5W2CNkPoN8xS.9uYEnniHHC0'],
    ['$1$abc$9dV135Rc3U8Xbm2DxadgF0'],
  ])('reads what other tools wrote: %s', async text => {
    const { http } = await guarded('basicauth', { htpasswd: { inline: `u:${text}` } });
    expect(await status(http, basic('u', 'hunter2'))).toBe(200);
  });

  it('is not slowed down by who guesses: a right password that is known passes a full queue', async () => {
    const { http, instruments } = await guarded('basicauth', {
      htpasswd: { inline: `u:${hashSync('right', 8)}` },
    });
    expect(await status(http, basic('u', 'right'))).toBe(200);
    const guesses = Array.from({ length: MAX_WAITING * 2 }, (_, i) => status(http, basic('u', `guess ${i}`)));
    await until(
      () => instruments.sum('kymo_receiver_rejected_requests', { reason: 'auth' }) > 0,
      'a full queue',
      20_000,
    );
    expect(await status(http, basic('u', 'right'))).toBe(200);
    const answers = await Promise.all(guesses);
    expect(new Set(answers)).toEqual(new Set([401, 503]));
    expect(answers.filter(one => one === 401).length).toBeGreaterThanOrEqual(MAX_WAITING);
  });

  it.each([
    ['nocolon', 'line 1 is not user:password'],
    ['u:', 'line 1: the password is empty'],
    ['a:b\nu:$9$hunter2$x', 'line 2: a format of passwords that is not known'],
    ['u:{MD5}hunter2', 'line 1: a format of passwords that is not known'],
  ])('refuses htpasswd %j without showing it', (inline, message) => {
    const { error } = basicAuthExtension.config.safeParse({ htpasswd: { inline } });
    expect(error?.message).toContain(message);
    expect(error?.message).not.toContain('hunter2');
  });
});

describe('forwarders', () => {
  it.each([
    ['bearertokenauth', { token: 's3cret' }, { token: 's3cret' }],
    ['basicauth', { client_auth: { username: 'u', password: 'p:w' } }, { htpasswd: { inline: 'u:p:w' } }],
  ])('show who they are with %s, over HTTP and gRPC', async (id, client, server) => {
    const peer = await guarded(id, server);
    const { started } = await authenticators({ [`${id}/client`]: client });
    const auth = { authenticator: `${id}/client` };
    const { context } = exporterContext('x', folder, started);
    const overHttp = otlpHttpExporter.create(
      context,
      otlpHttpExporter.config.parse({ endpoint: `http://127.0.0.1:${peer.http}`, auth }),
    );
    const overGrpc = otlpGrpcExporter.create(
      context,
      otlpGrpcExporter.config.parse({ endpoint: `127.0.0.1:${peer.grpc}`, tls: { insecure: true }, auth }),
    );
    for (const exporter of [overHttp, overGrpc]) {
      ends.push(() => exporter.stop());
      await exporter.export(batchOf(logsRequest()));
    }
    expect(peer.ingest.stored).toHaveLength(2);
    const without = otlpHttpExporter.create(
      context,
      otlpHttpExporter.config.parse({ endpoint: `http://127.0.0.1:${peer.http}` }),
    );
    ends.push(() => without.stop());
    await expect(Promise.resolve(without.export(batchOf(logsRequest())))).rejects.toThrow(/answered 401/);
  });

  it('warn when credentials would go over a network in clear', async () => {
    const { started } = await authenticators({ bearertokenauth: { token: 's3cret' } });
    const auth = { authenticator: 'bearertokenauth' };
    const warnings = (
      make: (context: ReturnType<typeof exporterContext>['context']) => { stop(): unknown },
    ) => {
      const { context, logger } = exporterContext('x', folder, started);
      make(context).stop();
      return logger.lines.filter(line => line.level === 'warn').map(line => line.message);
    };
    const http = (endpoint: string) =>
      warnings(context =>
        otlpHttpExporter.create(context, otlpHttpExporter.config.parse({ endpoint, auth })),
      );
    const rpc = (endpoint: string) =>
      warnings(context =>
        otlpGrpcExporter.create(context, otlpGrpcExporter.config.parse({ endpoint, auth })),
      );
    expect(http('http://example.com')).toEqual([
      'exporters::x::auth: credentials go to http://example.com without TLS: anyone on the way can read them',
    ]);
    expect(rpc('http://example.com:4317')).toHaveLength(1);
    for (const local of ['https://example.com', 'http://localhost:4318', 'http://[::1]:4318'])
      expect([http(local), rpc(local)]).toEqual([[], []]);
  });
});

describe('a configuration', () => {
  const CONFIG = `
receivers: {otlp: {protocols: {http: {auth: {authenticator: AUTH}}}}}
exporters: {otlp_http: {endpoint: "http://localhost:1", auth: {authenticator: CLIENT}}}
extensions:
  bearertokenauth: {tokens: [hunter2, hunter3]}
  basicauth/client: {client_auth: {username: u, password: hunter4}}
  basicauth/server: {htpasswd: {inline: "u:hunter5", file: /etc/htpasswd}}
  health_check:
service:
  extensions: [health_check, basicauth/client, basicauth/server]
  pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}
`;
  const problems = (auth: string, client: string, extra = '') =>
    loadConfig({
      sources: [
        `yaml:${CONFIG.replace('AUTH', auth).replace('CLIENT', client).replace('service:\n', `service:\n${extra}`)}`,
      ],
      env: {},
      components: COMPONENTS,
    }).problems.map(formatProblem);

  it('names extensions that are there, started, and for this side', () => {
    expect(problems('basicauth/server', 'basicauth/client')).toEqual([]);
    const [first, second] = problems('bearertokenauht', 'health_check');
    expect(first).toContain(
      'receivers::otlp::protocols::http::auth: references extension "bearertokenauht" which is not configured (did you mean "bearertokenauth"?)',
    );
    expect(second).toContain(
      'exporters::otlp_http::auth: extension "health_check" does not authenticate anybody',
    );
    expect(problems('basicauth/client', 'basicauth/server')).toEqual([
      expect.stringContaining('extension "basicauth/client" has nothing to check senders with'),
      expect.stringContaining('extension "basicauth/server" has no credentials to send'),
    ]);
    expect(problems('bearertokenauth', 'basicauth/client')).toEqual([
      expect.stringContaining('extension "bearertokenauth" is not started: add it to service::extensions'),
    ]);
  });

  it('is printed without its secrets, and with the names of what is no secret', () => {
    const printed = printConfig(loadTree({ sources: [`yaml:${CONFIG}`], env: {} }).tree!);
    expect(printed).not.toMatch(/hunter/);
    expect(printed).toContain('authenticator: AUTH');
    expect(printed).toContain('file: /etc/htpasswd');
  });

  it('with a secret of a wrong kind does not show it', () => {
    const text = `
receivers: {otlp: {protocols: {http: }}}
exporters: {debug: }
extensions:
  bearertokenauth: {token: "hunter2\\n", tokens: [[hunter3]], scheme: "hunter4 hunter5"}
  basicauth: {htpasswd: {inline: hunter6}, client_auth: {username: [hunter7], password: {a: hunter8}}}
service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
`;
    const { problems } = loadConfig({ sources: [`yaml:${text}`], env: {}, components: COMPONENTS });
    expect(problems.length).toBeGreaterThan(3);
    expect(problems.map(formatProblem).join('\n')).not.toMatch(/hunter/);
  });
});
