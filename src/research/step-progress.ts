// One line of text about how far a training is: `step 5000/100000 (5.0%) | loss=0.42 reward=195`.
import { checkOptions, wrongType } from './checks.ts';
import { getLogger, Logger } from './logger.ts';

export interface StepProgressOptions {
  /** Who says it. Default: a logger named `progress`. */
  readonly logger?: Logger;
}

const SIGNIFICANT_DIGITS = 4;
/** They are in the line already, or in every line. */
const LEFT_OUT: ReadonlySet<string> = new Set(['step', 'wall_time']);

let ownLogger: Logger | undefined;

/**
 * Says at level `info` how far a training is, with some metrics. They are text only: `log` records them. Throws a TypeError
 * when step or total is no number or `metrics` no object.
 *
 * @example
 * logStepProgress(5_000, 100_000, { loss: 0.42, reward: 195 });
 */
export function logStepProgress(
  step: number,
  total: number,
  metrics: Readonly<Record<string, unknown>> = {},
  options: StepProgressOptions = {},
): void {
  for (const [argument, value] of [
    ['step', step],
    ['total', total],
  ] as const)
    if (typeof value !== 'number') throw wrongType(`logStepProgress(${argument})`, 'a number', value);
  if (typeof metrics !== 'object' || metrics === null || Array.isArray(metrics))
    throw wrongType('logStepProgress(metrics)', 'an object such as {loss: 0.5}', metrics);
  checkOptions('logStepProgress', options, ['logger']);
  if (options.logger !== undefined && !(options.logger instanceof Logger))
    throw wrongType('logStepProgress({logger})', 'a logger as getLogger returns it', options.logger);
  ownLogger ??= getLogger('progress');
  const percent = total > 0 ? (100 * step) / total : 0;
  const parts = Object.keys(metrics)
    .filter(name => !LEFT_OUT.has(name))
    .map(name => `${name}=${shownValue(metrics[name])}`);
  const tail = parts.length === 0 ? '' : ` | ${parts.join(' ')}`;
  const logger = options.logger ?? ownLogger;
  logger.say('info', `step ${step}/${total} (${percent.toFixed(1)}%)${tail}`, logStepProgress);
}

/** A value for people: whole numbers whole, others with four digits. */
export function shownValue(value: unknown): string {
  if (typeof value !== 'number') return String(value);
  if (Number.isInteger(value)) return String(value);
  return general(value);
}

/** As `%.4g` writes it: four digits, no zeros at the end, an exponent where the number is far from 1. */
function general(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  const exponential = value.toExponential(SIGNIFICANT_DIGITS - 1);
  const [digits = '', exponent = '0'] = exponential.split('e');
  const power = Number(exponent);
  if (power < -4 || power >= SIGNIFICANT_DIGITS) {
    const sign = power < 0 ? '-' : '+';
    return `${withoutZeros(digits)}e${sign}${String(Math.abs(power)).padStart(2, '0')}`;
  }
  return withoutZeros(value.toFixed(SIGNIFICANT_DIGITS - 1 - power));
}

function withoutZeros(digits: string): string {
  return digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
}
