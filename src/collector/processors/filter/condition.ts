// From a condition's text to a function that judges an item.
import type { AnyValue } from '../../../otlp/model.ts';
import { isMap, valueJson } from '../../runs/json.ts';
import { compilePattern } from '../pattern.ts';
import { CONSTANTS, FIELDS, type Field, type Item, type Subject, within } from './fields.ts';
import { ConditionError, type Expression, type Operator, parseCondition } from './parse.ts';

/** One condition, ready to judge. */
export interface Condition {
  matches(item: Item): boolean;
  /** Asks about value or time of a point: it must be asked for each point, not once per series. */
  readonly perPoint: boolean;
}

/** Throws ConditionError with what is wrong. */
export function compileCondition(text: string, subject: Subject): Condition {
  const compiler = new Compiler(subject);
  const judge = compiler.truth(parseCondition(text));
  return { matches: judge, perPoint: compiler.perPoint };
}

const PER_POINT: ReadonlySet<string> = new Set(
  ['value_double', 'value_int', 'time_unix_nano'].flatMap(name => [name, `datapoint.${name}`]),
);

class Compiler {
  perPoint = false;
  readonly #subject: Subject;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  truth(expression: Expression): (item: Item) => boolean {
    switch (expression.kind) {
      case 'not': {
        const inner = this.truth(expression.inner);
        return item => !inner(item);
      }
      case 'and': {
        const parts = expression.parts.map(part => this.truth(part));
        return item => parts.every(part => part(item));
      }
      case 'or': {
        const parts = expression.parts.map(part => this.truth(part));
        return item => parts.some(part => part(item));
      }
      case 'compare': {
        const left = this.#value(expression.left);
        const right = this.#value(expression.right);
        const { operator } = expression;
        return item => compares(left(item), operator, right(item));
      }
      case 'call':
        return this.#call(expression.name, expression.given);
      case 'literal':
        if (typeof expression.value !== 'boolean')
          throw new ConditionError(`${JSON.stringify(expression.value)} alone is no condition: compare it`);
        return () => expression.value === true;
      case 'path': {
        const value = this.#value(expression);
        return item => value(item) === true;
      }
    }
  }

  #value(expression: Expression): Field {
    if (expression.kind === 'literal') return () => expression.value;
    if (expression.kind === 'call') return this.#call(expression.name, expression.given);
    if (expression.kind !== 'path') throw new ConditionError('compares a condition: compare values');
    const { names, keys } = expression;
    const constant = keys.length === 0 && Object.hasOwn(CONSTANTS, names) ? CONSTANTS[names] : undefined;
    if (constant !== undefined) return () => constant;
    const field = FIELDS[this.#subject].get(names);
    if (field === undefined) {
      const known = [...FIELDS[this.#subject].keys()].filter(name => !name.startsWith(`${this.#subject}.`));
      throw new ConditionError(`a ${this.#subject} has no "${names}" (it has ${known.join(', ')})`);
    }
    if (this.#subject === 'datapoint' && PER_POINT.has(names)) this.perPoint = true;
    return keys.length === 0 ? field : item => within(field(item), keys);
  }

  #call(name: string, given: readonly Expression[]): (item: Item) => boolean {
    const [first, second] = given;
    const known = ['IsMatch', 'HasPrefix', 'HasSuffix'];
    if (!known.includes(name))
      throw new ConditionError(`knows no function "${name}" (it knows ${known.join(', ')})`);
    if (first === undefined || second === undefined || given.length > 2)
      throw new ConditionError(`${name} takes two values, the text and what is looked for`);
    const value = this.#value(first);
    if (second.kind !== 'literal' || typeof second.value !== 'string')
      throw new ConditionError(`${name} looks for a text in quotes`);
    const wanted = second.value;
    if (name === 'HasPrefix') return item => textOf(value(item))?.startsWith(wanted) === true;
    if (name === 'HasSuffix') return item => textOf(value(item))?.endsWith(wanted) === true;
    const pattern = compilePattern(wanted);
    if ('problem' in pattern) throw new ConditionError(`the pattern of IsMatch ${pattern.problem}`);
    return item => {
      const text = textOf(value(item));
      return text !== undefined && pattern.test(text);
    };
  }
}

/** What is no text is matched as JSON; nothing matches nothing. */
function textOf(value: AnyValue | undefined): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value : valueJson(value);
}

/** Values of different kinds are different, and none is less. Absent is nil. */
function compares(left: AnyValue | undefined, operator: Operator, right: AnyValue | undefined): boolean {
  const a = left ?? null;
  const b = right ?? null;
  if (operator === '==') return equal(a, b);
  if (operator === '!=') return !equal(a, b);
  const ordered =
    (isNumber(a) && isNumber(b)) ||
    (typeof a === 'string' && typeof b === 'string') ||
    (typeof a === 'boolean' && typeof b === 'boolean');
  if (!ordered) return false;
  switch (operator) {
    case '<':
      return a! < b!;
    case '<=':
      return a! <= b!;
    case '>':
      return a! > b!;
    case '>=':
      return a! >= b!;
  }
}

function equal(a: AnyValue, b: AnyValue): boolean {
  // biome-ignore lint/suspicious/noDoubleEquals: a number and a bigint of one value are equal
  if (isNumber(a) && isNumber(b)) return a == b;
  if (isMap(a) || Array.isArray(a) || a instanceof Uint8Array) return valueJson(a) === valueJson(b);
  return a === b;
}

function isNumber(value: AnyValue): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}
