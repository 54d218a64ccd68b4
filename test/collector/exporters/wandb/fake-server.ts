// A W&B server for tests, as far as its clients need one: GraphQL, file_stream, uploads and artifacts; strict, and with faults on demand.
import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { plainJson } from '../../../../src/collector/exporters/wandb/extended-json.ts';

const MAX_LINE_BYTES = 10_383_360;
export type Json = Record<string, unknown>;

export interface FakeRun {
  readonly entity: string;
  readonly project: string;
  readonly name: string;
  readonly id: string;
  displayName: string;
  group: string;
  jobType: string;
  notes: string;
  tags: string[];
  config: Json;
  program: string;
  host: string;
  /** Lines by file: history, events, summary, console. */
  readonly lines: Map<string, string[]>;
  readonly files: Map<string, Buffer>;
  readonly uploaded: Set<string>;
  complete: boolean;
  exitCode: number | undefined;
  preempting: boolean;
  stopped: boolean;
  /** When file_stream requests came. */
  readonly requestTimes: number[];
  readonly heartbeats: number[];
}
export interface FakeArtifact {
  readonly id: string;
  readonly input: Json;
  readonly files: Map<string, Buffer>;
  manifest: Json | undefined;
  committed: boolean;
  readonly used: string[];
}

export interface SeenRequest {
  readonly kind: 'graphql' | 'file_stream' | 'upload';
  readonly operation: string;
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Json | Buffer;
}
/** Undefined: answer as usual. `cut`: read the request, maybe act on it, and close the connection. */
export type Fault =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  | { readonly cut: 'before' | 'after' }
  | undefined;

export class FakeWandb {
  readonly runs = new Map<string, FakeRun>();
  readonly artifacts: FakeArtifact[] = [];
  readonly requests: SeenRequest[] = [];
  /** What a client did that no client may. */
  readonly complaints: string[] = [];
  readonly alerts: Json[] = [];
  features: string[] = ['EXPAND_DEFINED_METRIC_GLOBS'];
  apiKey = 'k'.repeat(40);
  entity = 'fake-entity';
  /** Said by the answer to file_stream. */
  streamHeaders: Record<string, string> = {};
  fault: (request: SeenRequest) => Fault = () => undefined;
  readonly #server: http.Server;
  #nextId = 1;

  constructor() {
    this.#server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        try {
          this.#answer(request, response, Buffer.concat(chunks));
        } catch (error) {
          this.complaints.push(`the fake failed: ${error instanceof Error ? error.stack : error}`);
          response.writeHead(400).end(String(error));
        }
      });
    });
    this.#server.keepAliveTimeout = 1_000;
  }

  async listen(port = 0): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(port, '127.0.0.1', resolve));
  }
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>(resolve => this.#server.close(() => resolve()));
  }
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  run(name: string): FakeRun {
    for (const run of this.runs.values()) if (run.name === name) return run;
    throw new Error(`no run ${name}; there are ${[...this.runs.keys()].join(', ')}`);
  }
  history(name: string): Json[] {
    return linesOf(this.run(name), 'wandb-history.jsonl');
  }
  summary(name: string): Json {
    return linesOf(this.run(name), 'wandb-summary.json')[0] ?? {};
  }
  events(name: string): Json[] {
    return linesOf(this.run(name), 'wandb-events.jsonl');
  }
  operations(): string[] {
    return this.requests.filter(one => one.kind === 'graphql').map(one => one.operation);
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse, raw: Buffer): void {
    const path = decodeURI((request.url ?? '/').split('?')[0]!);
    const isGraphql = path === '/graphql';
    const isStream = path.endsWith('/file_stream');
    const parse = () => JSON.parse(raw.toString()) as Json;
    const body = isGraphql || isStream ? parse() : raw;
    const kind = isGraphql ? 'graphql' : isStream ? 'file_stream' : 'upload';
    const operation = isGraphql ? operationOf(body as Json) : kind;
    const seen: SeenRequest = { kind, operation, path, headers: request.headers, body };
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault !== undefined && 'status' in fault) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '{}');
      return;
    }
    if (fault?.cut === 'before') {
      request.socket.destroy();
      return;
    }
    if (kind !== 'upload' && !this.#isAllowed(request)) {
      response.writeHead(401).end('{"errors":[{"message":"invalid api key"}]}');
      return;
    }
    const answer = isGraphql
      ? this.#graphql(operation, ((body as Json).variables ?? {}) as Json)
      : isStream
        ? this.#stream(path, body as Json)
        : this.#upload(path, raw, request);
    if (fault?.cut === 'after') {
      request.socket.destroy();
      return;
    }
    const { status = 200, ...rest } = answer as { status?: number } & Json;
    response
      .writeHead(status, { 'content-type': 'application/json', ...(isStream ? this.streamHeaders : {}) })
      .end(JSON.stringify(rest));
  }

  #isAllowed(request: http.IncomingMessage): boolean {
    const wanted = `Basic ${Buffer.from(`api:${this.apiKey}`).toString('base64')}`;
    return request.headers.authorization === wanted;
  }

  #graphql(operation: string, variables: Json): Json {
    switch (operation) {
      case 'Viewer':
        return { data: { viewer: this.#viewer() } };
      case 'ServerFeaturesQuery':
        return {
          data: { serverInfo: { features: this.features.map(name => ({ name, isEnabled: true })) } },
        };
      case 'UpsertBucket':
        return { data: { upsertBucket: this.#upsert(variables) } };
      case 'RunResumeStatus':
        return { data: { model: this.#resumeStatus(variables) } };
      case 'ProbeServerCapabilities': {
        // Older clients look at the schema.
        const none = { fields: [] };
        return { data: { QueryType: none, MutationType: none, ServerInfoType: none } };
      }
      case 'ServerInfo':
        return {
          data: {
            serverInfo: {
              cliVersionInfo: { max_cli_version: '0.31.0' },
              latestLocalVersionInfo: null,
            },
          },
        };
      case 'RunStoppedStatus':
        return { data: { project: { run: { stopped: this.#named(variables.runId).stopped } } } };
      case 'CreateRunFiles':
        return { data: { createRunFiles: this.#createFiles(variables) } };
      case 'NotifyScriptableRunAlert':
        this.alerts.push(variables);
        return { data: { notifyScriptableRunAlert: { success: true } } };
      case 'CreateArtifact':
        return { data: { createArtifact: { artifact: this.#createArtifact(inputOf(variables)) } } };
      case 'CreateArtifactManifest':
        return { data: { createArtifactManifest: this.#createManifest(inputOf(variables)) } };
      case 'CreateArtifactFiles':
        return { data: { createArtifactFiles: this.#createArtifactFiles(inputOf(variables)) } };
      case 'CommitArtifact':
        return { data: { commitArtifact: { artifact: this.#commit(inputOf(variables)) } } };
      case 'UseArtifact': {
        const input = inputOf(variables);
        const artifact = this.#artifact(input.artifactID);
        artifact.used.push(String(input.runName));
        return { data: { useArtifact: { artifact: { id: artifact.id } } } };
      }
      default:
        return { data: null, errors: [{ message: `unsupported: ${operation}` }] };
    }
  }

  #viewer(): Json {
    const { entity } = this;
    const teams = { edges: [{ node: { name: entity } }] };
    return { id: 'user', entity, username: 'tester', email: 't@example.com', flags: '{}', teams };
  }

  #upsert(v: Json): Json {
    const entity = text(v.entity) || this.entity;
    const project = text(v.project) || 'uncategorized';
    const name = text(v.name) || `run-${this.#nextId}`;
    const key = `${entity}/${project}/${name}`;
    let run = this.runs.get(key);
    const inserted = run === undefined;
    if (run === undefined) {
      run = {
        ...{ entity, project, name, id: `id-${this.#nextId++}`, displayName: name, group: '', jobType: '' },
        ...{ notes: '', tags: [], config: {}, program: '', host: '', lines: new Map(), files: new Map() },
        ...{ uploaded: new Set(), complete: false, exitCode: undefined, preempting: false, stopped: false },
        ...{ requestTimes: [], heartbeats: [] },
      };
      this.runs.set(key, run);
    }
    if (v.displayName != null) run.displayName = text(v.displayName);
    if (v.groupName != null) run.group = text(v.groupName);
    if (v.jobType != null) run.jobType = text(v.jobType);
    if (v.notes != null) run.notes = text(v.notes);
    if (v.program != null) run.program = text(v.program);
    if (v.host != null) run.host = text(v.host);
    if (Array.isArray(v.tags)) run.tags = v.tags.map(String);
    if (v.config != null) run.config = parse(text(v.config)) as Json;
    for (const [field, entry] of Object.entries(run.config)) {
      if (typeof entry !== 'object' || entry === null || !('value' in entry))
        this.complaints.push(`config ${field} has no value`);
    }
    return {
      bucket: {
        ...{ id: run.id, name, displayName: run.displayName, description: null, sweepName: null },
        config: JSON.stringify(run.config),
        project: { id: `p-${project}`, name: project, entity: { id: `e-${entity}`, name: entity } },
        historyLineCount: this.#count(run, 'wandb-history.jsonl'),
      },
      inserted,
    };
  }

  #resumeStatus(v: Json): Json | null {
    const entity = text(v.entity) || this.entity;
    const project = text(v.project);
    const run = this.runs.get(`${entity}/${project}/${text(v.name)}`);
    const tail = (file: string) => JSON.stringify((run?.lines.get(file) ?? []).slice(-1));
    const bucket =
      run === undefined
        ? null
        : {
            ...{ id: run.id, name: run.name, displayName: run.displayName, tags: run.tags, notes: run.notes },
            summaryMetrics: run.lines.get('wandb-summary.json')?.[0] ?? '{}',
            logLineCount: this.#count(run, 'output.log'),
            historyLineCount: this.#count(run, 'wandb-history.jsonl'),
            eventsLineCount: this.#count(run, 'wandb-events.jsonl'),
            historyTail: tail('wandb-history.jsonl'),
            eventsTail: tail('wandb-events.jsonl'),
            config: JSON.stringify(run.config),
            wandbConfig: JSON.stringify({ t: (run.config._wandb as Json | undefined)?.value ?? null }),
          };
    return { id: `p-${project}`, name: project, entity: { id: `e-${entity}`, name: entity }, bucket };
  }

  #createFiles(v: Json): Json {
    const run = this.#named(v.run, v.entity, v.project);
    const files = (v.files as string[]).map(name => {
      if (name.startsWith('/') || name.split('/').includes('..')) this.complaints.push(`file name ${name}`);
      const target = `${run.entity}/${run.project}/${run.name}/${name}`.split('/').map(encodeURIComponent);
      return { name, uploadUrl: `${this.url}/storage/${target.join('/')}` };
    });
    return { runID: run.id, uploadHeaders: [], files };
  }

  #upload(path: string, raw: Buffer, request: http.IncomingMessage): Json {
    if (request.method !== 'PUT') return { status: 404 };
    if (request.headers.authorization !== undefined) this.complaints.push('an upload carried the API key');
    if (request.headers['content-length'] === undefined) this.complaints.push('an upload without length');
    const [, where, ...rest] = path.split('/').map(decodeURIComponent);
    if (where === 'artifact') {
      const [id, ...name] = rest;
      const artifact = this.#artifact(id);
      if (name.join('/') === 'wandb_manifest.json') artifact.manifest = JSON.parse(raw.toString()) as Json;
      else artifact.files.set(name.join('/'), raw);
      return {};
    }
    const [entity, project, run, ...name] = rest;
    this.runs.get(`${entity}/${project}/${run}`)!.files.set(name.join('/'), raw);
    return {};
  }

  #stream(path: string, body: Json): Json {
    const [, , entity, project, name] = path.split('/').map(decodeURIComponent);
    const run = this.runs.get(`${entity}/${project}/${name}`);
    if (run === undefined) return { status: 404, error: 'no such run' };
    const now = performance.now();
    run.requestTimes.push(now);
    if (Object.keys(body).length === 0) run.heartbeats.push(now);
    if (run.complete && body.complete !== true && body.files !== undefined) run.complete = false;
    for (const [file, { offset, content }] of Object.entries(
      (body.files ?? {}) as Record<string, { offset: number; content: string[] }>,
    )) {
      const lines = run.lines.get(file) ?? [];
      run.lines.set(file, lines);
      if (offset > lines.length)
        this.complaints.push(`${name} ${file}: gap from ${lines.length} to ${offset}`);
      for (const [i, line] of content.entries()) {
        if (Buffer.byteLength(line) > MAX_LINE_BYTES) return { status: 413 };
        // Clients before 0.30 end a line of the console with one.
        if (line.replace(/\n$/, file === 'output.log' ? '' : '$&').includes('\n'))
          this.complaints.push(`${name} ${file}: a line feed in a line`);
        if (file.endsWith('.jsonl')) this.#checkRow(file, parse(line) as Json);
        lines[offset + i] = line;
      }
    }
    for (const file of (body.uploaded ?? []) as string[]) {
      if (!run.files.has(file)) this.complaints.push(`${name}: ${file} is said to be uploaded, but is not`);
      run.uploaded.add(file);
    }
    if (body.preempting === true) run.preempting = true;
    if (body.complete === true) {
      run.complete = true;
      run.exitCode = body.exitcode as number;
    } else if (body.exitcode !== undefined) this.complaints.push('exitcode without complete');
    return { stopped: run.stopped };
  }

  #checkRow(file: string, row: Json): void {
    const wanted = file.includes('history')
      ? ['_step', '_timestamp', '_runtime']
      : ['_timestamp', '_runtime'];
    for (const key of wanted)
      if (typeof row[key] !== 'number') this.complaints.push(`${file}: a row without ${key}`);
  }

  #createArtifact(input: Json): Json {
    const artifact: FakeArtifact = {
      id: `art-${this.#nextId++}`,
      input,
      files: new Map(),
      manifest: undefined,
      committed: false,
      used: [],
    };
    const same = this.artifacts.find(
      one =>
        one.committed &&
        one.input.digest === input.digest &&
        one.input.artifactCollectionName === input.artifactCollectionName,
    );
    if (same === undefined) this.artifacts.push(artifact);
    const { id, committed } = same ?? artifact;
    return {
      id,
      state: committed ? 'COMMITTED' : 'PENDING',
      artifactSequence: { id: 'seq', latestArtifact: same === undefined ? null : { id, versionIndex: 0 } },
    };
  }

  #createManifest(input: Json): Json {
    const id = text(input.artifactID);
    const upload = `${this.url}/artifact/${id}/wandb_manifest.json`;
    return {
      artifactManifest: { id: `${id}-m`, file: { id: 'f', uploadUrl: upload, uploadHeaders: [] } },
    };
  }

  #createArtifactFiles(input: Json): Json {
    const edges = (input.artifactFiles as Json[]).map(file => {
      const id = text(file.artifactID);
      const name = text(file.name);
      const target = name.split('/').map(encodeURIComponent).join('/');
      return {
        node: {
          ...{ id: 'n', name, displayName: name, storagePath: `stored/${name}`, uploadHeaders: [] },
          uploadUrl: `${this.url}/artifact/${id}/${target}`,
          uploadMultipartUrls: null,
          artifact: { id },
        },
      };
    });
    return { files: { edges } };
  }

  #commit(input: Json): Json {
    const artifact = this.#artifact(input.artifactID);
    const contents = (artifact.manifest?.contents ?? {}) as Record<string, Json>;
    for (const [name, entry] of Object.entries(contents)) {
      const bytes = artifact.files.get(name);
      if (entry.ref !== undefined) continue;
      if (bytes === undefined) this.complaints.push(`artifact ${artifact.id}: ${name} was not uploaded`);
      else if (createHash('md5').update(bytes).digest('base64') !== entry.digest)
        this.complaints.push(`artifact ${artifact.id}: ${name} has another digest`);
    }
    artifact.committed = true;
    return { id: artifact.id, digest: artifact.input.digest ?? '' };
  }

  #artifact(id: unknown): FakeArtifact {
    const found = this.artifacts.find(one => one.id === id);
    if (found === undefined) throw new Error(`no artifact ${String(id)}`);
    return found;
  }

  #named(name: unknown, entity?: unknown, project?: unknown): FakeRun {
    if (entity !== undefined) {
      const found = this.runs.get(`${text(entity)}/${text(project)}/${text(name)}`);
      if (found !== undefined) return found;
    }
    return this.run(text(name));
  }

  #count(run: FakeRun, file: string): number {
    return run.lines.get(file)?.length ?? 0;
  }
}

export function linesOf(run: FakeRun, file: string): Json[] {
  return Array.from(run.lines.get(file) ?? [], line => (line === undefined ? {} : (parse(line) as Json)));
}

function operationOf(body: Json): string {
  if (typeof body.operationName === 'string' && body.operationName !== '') return body.operationName;
  const query = text(body.query);
  // Older clients check their key with a query that has no name.
  return (
    /(?:query|mutation)\s+(\w+)/.exec(query)?.[1] ?? (/^\s*query\s*\{\s*viewer\b/.test(query) ? 'Viewer' : '')
  );
}
/** Newer clients wrap the variables of some mutations. */
function inputOf(variables: Json): Json {
  return (variables.input as Json | undefined) ?? variables;
}
function parse(json: string): unknown {
  return JSON.parse(plainJson(json));
}
function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
