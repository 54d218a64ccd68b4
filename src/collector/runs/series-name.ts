// What sinks without labels call a series (decisions 15 and 16): one name made of scope, mode, name, dimensions and rank.
import { createHash } from 'node:crypto';
import type { AnyValue, Attributes, Series } from '../../otlp/model.ts';
import { DEFAULT_MODE, GLOBAL_SCOPE, MODE_SEGMENTS } from '../../semconv/names.ts';
import { valueJson } from './json.ts';
import type { ResolvedSeries } from './run.ts';

/** Longer names end in a hash: tags of event files and keys of remote trackers are not made for more. */
export const MAX_SINK_NAME_CHARACTERS = 1_000;
/** Stands for an empty metric name: no sink can show one. */
export const UNNAMED = 'unnamed';
/** Attributes that say where a point belongs, not what is measured. */
const OURS = 'kymo.';
const HASH_DIGITS = 16;

/**
 * The mode of a series: the explicit one, else the name's first segment where that is a mode, else `train`. A name without
 * a slash is no segment of anything: `test` alone is a metric of mode `train`.
 */
export function modeOf(explicit: string, name: string): string {
  if (explicit !== '') return explicit;
  const segment = name.slice(0, Math.max(0, name.indexOf('/')));
  return MODE_SEGMENTS.has(segment) ? segment : DEFAULT_MODE;
}

/** `[<scope>/][<mode>/]<name>[/<k>=<v>]…`, as long as it comes and without rank. */
export function fullName(scope: string, mode: string, name: string, attributes: Attributes): string {
  let text = name === '' ? UNNAMED : name;
  if (mode !== DEFAULT_MODE && !text.startsWith(`${mode}/`)) text = `${mode}/${text}`;
  if (scope !== GLOBAL_SCOPE) text = `${scope}/${text}`;
  const dimensions = Object.keys(attributes).filter(key => !key.startsWith(OURS));
  if (dimensions.length > 1) dimensions.sort();
  for (const key of dimensions) text += `/${key}=${dimensionText(attributes[key])}`;
  return text;
}

/** The name with its rank, capped: `ResolvedSeries.sinkName`. */
export function sinkName(full: string, rank: number): string {
  const name = capName(full, MAX_SINK_NAME_CHARACTERS);
  return rank > 0 ? `${name}/rank=${rank}` : name;
}

/** The whole name of a resolved series: not capped, and without the rank, for sinks that have a place of its own for it. */
export function unrankedName(series: Omit<Series, 'kind'>, resolved: ResolvedSeries): string {
  const { rank } = resolved.run;
  const name = resolved.sinkName;
  const end = rank > 0 ? name.length - `/rank=${rank}`.length : name.length;
  // Only a capped name has the full length.
  if (end < MAX_SINK_NAME_CHARACTERS) return end === name.length ? name : name.slice(0, end);
  return fullName(resolved.scope, resolved.mode, series.name, series.attributes);
}

/** Text of at most `limit` characters: what is longer ends in `~` and a hash of the whole. */
export function capName(text: string, limit: number): string {
  if (text.length <= limit) return text;
  // Over UTF-16 units, which tell lone surrogates apart.
  const hash = createHash('sha256').update(Buffer.from(text, 'utf16le')).digest('hex').slice(0, HASH_DIGITS);
  // No surrogate pair is cut in two; a cap has always the full length, so `~` fills the place of one.
  const kept = text.slice(0, limit - HASH_DIGITS - 1).replace(/[\ud800-\udbff]$/, '~');
  return `${kept}~${hash}`;
}

function dimensionText(value: AnyValue | undefined): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : valueJson(value);
}
