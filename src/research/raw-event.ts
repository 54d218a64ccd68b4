// `event`: a raw measurement that the collector's `aggregate` processor makes curves of; by itself it draws none.
import type { Attributes } from '../otlp/model.ts';
import { EVENT_RAW, MODE, RAW_CONTEXT, RAW_NAME, RAW_VALUE, STEP } from '../semconv/names.ts';
import { checkOptions, kindOf, shown, wrongType } from './checks.ts';
import type { Complaints } from './complaints.ts';
import { isStep, toNumber } from './numbers.ts';
import { toPlainMap } from './plain.ts';
import type { Scalar } from './row-options.ts';
import type { RowWriter } from './row-writer.ts';

export interface EventOptions {
  /** Default: the step that the next row would have. The step counter stays where it is. */
  readonly step?: number;
  /** What goes with it, by name, such as `{score: 21, length: 300}`: a metric may take its value from here (`context_key`). */
  readonly context?: Readonly<Record<string, unknown>>;
  /** Results of the event have this mode. Default: train. */
  readonly mode?: string;
}

const OPTIONS = ['step', 'context', 'mode'] as const;
const MAX_NAME_LENGTH = 1_000;

/**
 * One log record `kymo.event`. What has the wrong shape throws; a value that is no number and a bad step drop the event, counted and
 * said once. NaN and the infinities are kept: aggregates leave them out.
 */
export function recordRawEvent(
  writer: RowWriter,
  complaints: Complaints,
  name: string,
  value: Scalar,
  options: EventOptions,
): void {
  if (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH)
    throw wrongType('event(name)', `a string of 1 to ${MAX_NAME_LENGTH} characters`, name);
  checkOptions('event', options, OPTIONS);
  const { step = writer.stepNow(), context, mode } = options;
  if (mode !== undefined && (typeof mode !== 'string' || mode === ''))
    throw wrongType('event({mode})', 'a string with something in it', mode);
  if (context !== undefined && (typeof context !== 'object' || context === null || Array.isArray(context)))
    throw wrongType('event({context})', 'an object such as {score: 21}', context);
  if (!isStep(step)) {
    const said = `event({step}) must be a whole number from 0 to 2^53, not ${kindOf(step)}; the event is dropped`;
    complaints.drop('bad_step', name, 1, said);
    return;
  }
  const number = toNumber(value);
  if (number === undefined) {
    const said = `event(${shown(name)}): its value must be a number, not ${kindOf(value)}; dropped`;
    complaints.drop('bad_value', name, 1, said);
    return;
  }
  const attributes: Attributes = { [RAW_NAME]: name, [RAW_VALUE]: number, [STEP]: step };
  if (context !== undefined) attributes[RAW_CONTEXT] = toPlainMap(context) as Attributes;
  if (mode !== undefined) attributes[MODE] = mode;
  writer.event({ name: EVENT_RAW, attributes });
}
