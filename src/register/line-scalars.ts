// Finds the numbers in a line that a training prints: `step 100 loss=0.42 lr: 1e-3` or `{"step": 100, "loss": 0.42}`.

/** A line with more than this is no line of numbers. */
const MAX_LINE = 4_096;
const MAX_VALUES = 100;
const STEP_NAMES = 'global_step|step|iteration|iter|update|batch';
/** Where nothing better is named. */
const EPOCH = /(?:^|[\s[(|,;])epoch\s*[:=#]?\s*(\d[\d_,]*)/i;
/** What `console.log` makes of an object behind the text. */
const OBJECT = /\{[^{}]*\}/g;
const NUMBER = String.raw`[-+]?(?:\d[\d_,]*\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?)`;
/** `step 100`, `step=100`, `[step: 1,000/50,000]`. */
const STEP = new RegExp(String.raw`(?:^|[\s\[(|,;])(?:${STEP_NAMES})\s*[:=#]?\s*(\d[\d_,]*)`, 'i');
/** `loss=0.42`, `train/loss: 1e-3`. A bare `name 0.42` is prose as often as not, and is left. */
const PAIR = new RegExp(
  String.raw`(?:^|[\s\[({|,;])([A-Za-z_][\w./-]{0,99})\s*[:=]\s*(${NUMBER})(?=$|[\s\])}|,;%])`,
  'gi',
);
const IS_STEP = new RegExp(`^(?:${STEP_NAMES})$`, 'i');

export interface LineScalars {
  /** Undefined where the line names none. */
  readonly step: number | undefined;
  readonly values: Readonly<Record<string, number>>;
}

/** Undefined for a line that is something else. A line of `name=value` pairs counts only where it names a step. */
export function lineScalars(line: string): LineScalars | undefined {
  const text = line.trim();
  if (text === '' || text.length > MAX_LINE) return undefined;
  return text.startsWith('{') ? fromJson(text) : fromText(text);
}

function fromJson(text: string): LineScalars | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  const values: [string, number][] = [];
  let step: number | undefined;
  for (const [name, value] of Object.entries(parsed as object)) {
    if (typeof value !== 'number') continue;
    if (step === undefined && IS_STEP.test(name) && isStep(value)) step = value;
    else values.push([name, value]);
  }
  return found(step, values);
}

function fromText(text: string): LineScalars | undefined {
  const step = numberOf((STEP.exec(text) ?? EPOCH.exec(text))?.[1] ?? '');
  if (!isStep(step)) return undefined;
  const values: [string, number][] = [];
  for (const [, name, value] of text.replace(OBJECT, ' ').matchAll(PAIR))
    if (!IS_STEP.test(name!)) values.push([name!, numberOf(value!)]);
  return found(step, values);
}

function found(step: number | undefined, values: readonly [string, number][]): LineScalars | undefined {
  if (values.length === 0 || values.length > MAX_VALUES) return undefined;
  return { step, values: Object.fromEntries(values) };
}

function numberOf(text: string): number {
  const plain = text.toLowerCase().replace(/(?<=\d)[_,](?=\d)/g, '');
  if (plain === '') return Number.NaN;
  const infinite = /^([-+]?)inf(?:inity)?$/.exec(plain);
  return infinite === null ? Number(plain) : infinite[1] === '-' ? -Infinity : Infinity;
}

function isStep(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
