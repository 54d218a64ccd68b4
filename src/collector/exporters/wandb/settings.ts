// What the wandb exporter can be told, and what the environment says where nobody told it.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import type { Environment } from '../../../semconv/local.ts';

export const DEFAULT_BASE_URL = 'https://api.wandb.ai';
const DEFAULT_FLUSH_INTERVAL_MS = 5_000;

export const config = z.strictObject({
  mode: z
    .enum(['online', 'offline', 'disabled', 'auto'])
    .optional()
    .describe('`auto`: online where there is a key, else offline. Default: WANDB_MODE, else auto.'),
  project: z.string().min(1).optional().describe("Default: WANDB_PROJECT, else the run's own project."),
  entity: z.string().min(1).optional().describe('User or team. Default: WANDB_ENTITY, else that of the key.'),
  group: z.string().min(1).optional().describe("Default: the run's own, else WANDB_RUN_GROUP."),
  job_type: z.string().min(1).optional().describe("Default: the run's own, else WANDB_JOB_TYPE."),
  tags: z.array(z.string()).optional().describe("Beside the run's own. Default: WANDB_TAGS."),
  notes: z.string().optional().describe('Default: WANDB_NOTES.'),
  base_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(`Of a self-hosted server. Default: WANDB_BASE_URL, else ${DEFAULT_BASE_URL}.`),
  api_key: z
    .string()
    .optional()
    .describe('From the environment, never in the file itself. Default: WANDB_API_KEY, else netrc.'),
  directory: z
    .string()
    .default('')
    .describe('Folder in which `wandb/` is made. Empty: WANDB_DIR, else the project folder.'),
  resume: z
    .enum(['allow', 'must', 'never', 'auto'])
    .optional()
    .describe('What to do with a run id that the server has already. Default: WANDB_RESUME, else allow.'),
  run_per_scope: z
    .boolean()
    .default(false)
    .describe('Each scope is a W&B run of its own, all of one Kymo run in one group.'),
  reorder_window: z
    .int()
    .min(0)
    .max(60_000)
    .default(2_000)
    .describe('Milliseconds for which a row is held, so that what is logged for its step joins it.'),
  flush_interval: z
    .int()
    .min(500)
    .max(600_000)
    .default(DEFAULT_FLUSH_INTERVAL_MS)
    .describe('Milliseconds between two requests of a run.'),
  console: z.boolean().default(true).describe("Text of the run into the page's Logs."),
  max_open_runs: z.int().min(1).max(10_000).default(256).describe('Runs kept open at a time.'),
});
export type WandbConfig = z.infer<typeof config>;

export interface WandbSettings {
  readonly mode: 'online' | 'offline' | 'disabled';
  /** Why, where it was not asked for; said once. */
  readonly remark: string | undefined;
  readonly project: string;
  readonly entity: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
  readonly notes: string;
  readonly baseUrl: string;
  readonly apiKey: string;
  /** Absolute: the folder of the run directories. */
  readonly root: string;
  readonly resume: 'allow' | 'must' | 'never';
  readonly runPerScope: boolean;
  readonly windowMs: number;
  readonly flushIntervalMs: number;
  readonly console: boolean;
  readonly maxOpenRuns: number;
}

/** The configuration completed from WANDB_* variables and netrc, as the official client reads them. */
export function resolveSettings(given: WandbConfig, env: Environment, baseDirectory: string): WandbSettings {
  const said = (name: string) => env[name]?.trim() ?? '';
  const baseUrl = (given.base_url ?? (said('WANDB_BASE_URL') || DEFAULT_BASE_URL)).replace(/\/+$/, '');
  const apiKey = (given.api_key ?? '').trim() || said('WANDB_API_KEY') || netrcKey(baseUrl, env);
  const { mode, remark } = modeOf(given.mode ?? said('WANDB_MODE'), apiKey, baseUrl);
  const resume = given.resume ?? said('WANDB_RESUME');
  const directory = path.resolve(baseDirectory, given.directory || said('WANDB_DIR') || '.');
  const hidden = path.join(directory, '.wandb');
  return {
    mode,
    remark,
    project: given.project ?? said('WANDB_PROJECT'),
    entity: given.entity ?? said('WANDB_ENTITY'),
    group: given.group ?? said('WANDB_RUN_GROUP'),
    jobType: given.job_type ?? said('WANDB_JOB_TYPE'),
    tags:
      given.tags ??
      said('WANDB_TAGS')
        .split(',')
        .filter(tag => tag.trim() !== ''),
    notes: given.notes ?? said('WANDB_NOTES'),
    baseUrl,
    apiKey,
    // As the official client: `.wandb` only where somebody made it.
    root: existsSync(hidden) ? hidden : path.join(directory, 'wandb'),
    resume: resume === 'must' || resume === 'never' ? resume : 'allow',
    runPerScope: given.run_per_scope,
    windowMs: given.reorder_window,
    flushIntervalMs: given.flush_interval,
    console: given.console,
    maxOpenRuns: given.max_open_runs,
  };
}

function modeOf(
  wanted: string,
  apiKey: string,
  baseUrl: string,
): { mode: WandbSettings['mode']; remark: string | undefined } {
  switch (wanted) {
    case 'online':
    case 'shared':
      return { mode: 'online', remark: undefined };
    case 'offline':
    case 'dryrun':
      return { mode: 'offline', remark: undefined };
    case 'disabled':
      return { mode: 'disabled', remark: undefined };
    default:
      return apiKey === ''
        ? {
            mode: 'offline',
            remark: `W&B: no API key, so runs are written offline; \`kymo sync\` or \`wandb sync\` uploads them later. ${howToGiveAKey(baseUrl)}`,
          }
        : { mode: 'online', remark: `W&B: a key was found, so runs go to ${baseUrl}` };
  }
}

export function howToGiveAKey(baseUrl: string): string {
  const page = baseUrl === DEFAULT_BASE_URL ? 'https://wandb.ai/authorize' : `${baseUrl}/authorize`;
  return `A key is on ${page}; give it as WANDB_API_KEY, in netrc (\`wandb login\`), or as api_key: \${env:…} of the exporter`;
}

/** What is wrong with a key, as the official client checks it before it sends one; undefined when nothing is. */
export function keyProblem(apiKey: string): string | undefined {
  if (apiKey === '') return 'there is no API key';
  if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(apiKey)) return undefined;
  const secret = apiKey.slice(apiKey.lastIndexOf('-') + 1);
  if (!/^[A-Za-z0-9_-]+$/.test(apiKey)) return 'the API key has characters that no key has';
  return secret.length >= 40 || apiKey.length >= 40 ? undefined : 'the API key is shorter than 40 characters';
}

/** The password for the server's host in NETRC, ~/.netrc or ~/_netrc; empty where there is none. */
function netrcKey(baseUrl: string, env: Environment): string {
  const home = env.HOME ?? env.USERPROFILE ?? homedir();
  const places = env.NETRC ? [env.NETRC] : [path.join(home, '.netrc'), path.join(home, '_netrc')];
  for (const place of places) {
    let text: string;
    try {
      text = readFileSync(place, 'utf8');
    } catch {
      continue;
    }
    const key = passwordIn(text, new URL(baseUrl).hostname);
    if (key !== '') return key;
  }
  return '';
}

function passwordIn(text: string, host: string): string {
  const words = text.split(/\s+/);
  let inHost = false;
  for (let i = 0; i < words.length; i++) {
    if (words[i] === 'machine') inHost = words[++i] === host;
    else if (words[i] === 'default') inHost = false;
    else if (words[i] === 'password' && inHost) return words[i + 1] ?? '';
  }
  return '';
}
