// One line of JSON for each histogram, log record and span, and the beginning that all lines of a process share.
import type { Attributes, HistogramPoint, PointContext } from '../../../otlp/model.ts';
import { DEFAULT_MODE, GLOBAL_SCOPE, MODE, RUN_ID, SCOPE, STEP } from '../../../semconv/names.ts';
import type { ResolvedLog, ResolvedSpan } from '../../component.ts';
import { keyJson, numberJson, valueJson } from '../../runs/json.ts';
import type { Superseded } from '../../runs/lifecycle.ts';
import { explicitMode, FIRST_ATTEMPT } from '../../runs/resolve.ts';
import type { Run } from '../../runs/run.ts';

/** Said by the line's own keys, or by the folder it is in. */
const IN_LINE: ReadonlySet<string> = new Set([STEP, SCOPE, MODE, RUN_ID]);
const SPAN_KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];
const STATUS = ['', 'ok', 'error'];

/** The mode, where it is not `train`. */
export function modeJson(mode: string): string {
  return mode === DEFAULT_MODE || mode === '' ? '' : `,"mode":${JSON.stringify(mode)}`;
}

/** Who wrote a line: only what differs from the global scope, the run's first process, rank 0 and the first attempt. */
export function ownerJson(run: Run, scope: string, firstInstance: string | undefined): string {
  let text = '';
  if (scope !== GLOBAL_SCOPE) text += `,"scope":${JSON.stringify(scope)}`;
  if (firstInstance !== undefined && run.instance !== firstInstance) {
    text += `,"instance":${JSON.stringify(run.instance)}`;
  }
  if (run.rank > 0) text += `,"rank":${run.rank}`;
  if (run.attempt !== FIRST_ATTEMPT) text += `,"attempt":${run.attempt}`;
  return text;
}

/** Trace and further axes of a row or histogram. */
export function contextJson(context: PointContext | undefined): string {
  if (context === undefined) return '';
  let text = traceJson(context.traceId, context.spanId);
  for (const _ in context.attributes) {
    text += `,"axes":${valueJson(context.attributes)}`;
    break;
  }
  return text;
}

const nanos = new BigUint64Array(1);
/** Low, high: without division of bigints, which every line would feel. */
const words = new Uint32Array(nanos.buffer);
/** Up to the year 2116 microseconds and their whole seconds are exact as numbers. */
const EXACT_HIGH_WORD = 2 ** 30;
let lastSecond = Number.NaN;
let lastSecondText = '';

/** Unix time in seconds with six digits; what is finer is cut. */
export function unixSeconds(unixNano: bigint): string {
  nanos[0] = unixNano;
  const high = words[1]!;
  if (high >= EXACT_HIGH_WORD) {
    const text = (unixNano / 1000n).toString();
    return `${text.slice(0, -6)}.${text.slice(-6)}`;
  }
  // 2^32 = 4,294,967 × 1,000 + 296.
  const micros = high * 4_294_967 + Math.floor((high * 296 + words[0]!) / 1_000);
  const second = Math.floor(micros / 1e6);
  if (second !== lastSecond) {
    lastSecond = second;
    lastSecondText = `${second}.`;
  }
  // As a small integer, which is turned into text several times faster.
  return lastSecondText + `${(1e6 + (micros - second * 1e6)) | 0}`.slice(1);
}

export function histogramLine(point: HistogramPoint, name: string, step: number, owner: string): string {
  let text = `{"step":${numberJson(step)},"time":${unixSeconds(point.timeUnixNano)}${owner}`;
  text += `${contextJson(point.context)},"histogram":${JSON.stringify(name)},"count":${point.count}`;
  if (!Number.isNaN(point.sum)) text += `,"sum":${numberJson(point.sum)}`;
  if (!Number.isNaN(point.min)) text += `,"min":${numberJson(point.min)}`;
  if (!Number.isNaN(point.max)) text += `,"max":${numberJson(point.max)}`;
  text += `,"bounds":[${Array.from(point.bounds, numberJson)}],"counts":[${Array.from(point.counts, numberJson)}]`;
  if (point.temporality !== 'delta') text += `,"temporality":"${point.temporality}"`;
  return `${text}}\n`;
}

export function supersededLine(mark: Superseded, timeUnixNano: bigint): string {
  return `{"superseded":{"attempt":${mark.attempt},"from_step":${numberJson(mark.fromStep)}},"time":${unixSeconds(timeUnixNano)}}\n`;
}

export function logLine({ record, run, scope }: ResolvedLog, firstInstance: string | undefined): string {
  const { attributes } = record;
  let text = `{"time":${unixSeconds(record.timeUnixNano)}`;
  const level = levelOf(record.severityNumber, record.severityText);
  if (level !== '') text += `,"level":${JSON.stringify(level)}`;
  if (record.severityNumber !== 0) text += `,"severity":${record.severityNumber}`;
  if (record.scope.name !== '') text += `,"logger":${JSON.stringify(record.scope.name)}`;
  text += modeJson(explicitMode(record)) + ownerJson(run, scope, firstInstance);
  text += stepJson(attributes);
  if (record.eventName !== '') text += `,"event":${JSON.stringify(record.eventName)}`;
  if (record.body !== null) {
    text += typeof record.body === 'string' ? ',"message":' : ',"body":';
    text += valueJson(record.body);
  }
  text += traceJson(record.traceId, record.spanId) + attributesJson(attributes);
  if (record.droppedAttributesCount > 0) text += `,"dropped_attributes":${record.droppedAttributesCount}`;
  return `${text}}\n`;
}

/** What a process says about its system: its attributes are the line's own keys. */
export function systemLine({ record, run }: ResolvedLog, firstInstance: string | undefined): string {
  const owner = ownerJson(run, GLOBAL_SCOPE, firstInstance);
  return `{"time":${unixSeconds(record.timeUnixNano)}${owner},"facts":${valueJson(record.attributes)}}\n`;
}

export function spanLine({ record, run, scope }: ResolvedSpan, firstInstance: string | undefined): string {
  const { attributes, startTimeUnixNano: start, endTimeUnixNano: end } = record;
  let text = `{"start":${unixSeconds(start)},"end":${unixSeconds(end)}`;
  text += `,"duration":${numberJson(Number(end - start) / 1e9)},"name":${JSON.stringify(record.name)}`;
  if (SPAN_KINDS[record.kind]) text += `,"kind":"${SPAN_KINDS[record.kind]}"`;
  text += traceJson(record.traceId, record.spanId);
  if (record.parentSpanId !== '') text += `,"parent_span_id":${JSON.stringify(record.parentSpanId)}`;
  if (record.traceState !== '') text += `,"trace_state":${JSON.stringify(record.traceState)}`;
  if (record.scope.name !== '') text += `,"logger":${JSON.stringify(record.scope.name)}`;
  text += modeJson(explicitMode(record)) + ownerJson(run, scope, firstInstance) + stepJson(attributes);
  if (STATUS[record.statusCode]) text += `,"status":"${STATUS[record.statusCode]}"`;
  if (record.statusMessage !== '') text += `,"status_message":${JSON.stringify(record.statusMessage)}`;
  text += attributesJson(attributes);
  if (record.events.length > 0) {
    const events = record.events.map(
      event =>
        `{"time":${unixSeconds(event.timeUnixNano)},"name":${JSON.stringify(event.name)}${attributesJson(event.attributes)}}`,
    );
    text += `,"events":[${events}]`;
  }
  if (record.links.length > 0) {
    const links = record.links.map(link => {
      const state = link.traceState === '' ? '' : `,"trace_state":${JSON.stringify(link.traceState)}`;
      return `{${(traceJson(link.traceId, link.spanId) + state + attributesJson(link.attributes)).slice(1)}}`;
    });
    text += `,"links":[${links}]`;
  }
  return `${text}}\n`;
}

export function traceJson(traceId: string, spanId: string): string {
  let text = '';
  if (traceId !== '') text += `,"trace_id":${JSON.stringify(traceId)}`;
  if (spanId !== '') text += `,"span_id":${JSON.stringify(spanId)}`;
  return text;
}

function stepJson(attributes: Attributes): string {
  const step = attributes[STEP];
  return typeof step === 'number' || typeof step === 'bigint' ? `,"step":${valueJson(step)}` : '';
}

function attributesJson(attributes: Attributes): string {
  let text = '';
  for (const key of Object.keys(attributes)) {
    // A step that is no number is kept as it came.
    if (IN_LINE.has(key) && !(key === STEP && stepJson(attributes) === '')) continue;
    text += (text === '' ? '' : ',') + keyJson(key) + valueJson(attributes[key]);
  }
  return text === '' ? '' : `,"attributes":{${text}}`;
}

/** Attributes that stand in no other key of the line. */
export function restJson(attributes: Attributes, said: ReadonlySet<string>): string {
  let rest = '';
  for (const key of Object.keys(attributes)) {
    if (!said.has(key)) rest += (rest === '' ? '' : ',') + keyJson(key) + valueJson(attributes[key]);
  }
  return rest === '' ? '' : `,"attributes":{${rest}}`;
}

/** The sender's own word, else OTLP's name of the range. */
function levelOf(number: number, text: string): string {
  if (text !== '') return text;
  if (number < 1 || number > 24) return '';
  return ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'][Math.floor((number - 1) / 4)]!;
}
