// Reads a condition in the part of OTTL (the OpenTelemetry Transformation Language) that filters here know.

export type Literal = string | number | bigint | boolean | null;
export type Operator = '==' | '!=' | '<' | '<=' | '>' | '>=';

export type Expression =
  | { readonly kind: 'literal'; readonly value: Literal }
  /** `resource.attributes["a"]["b"]`: names, then keys. */
  | { readonly kind: 'path'; readonly names: string; readonly keys: readonly (string | number)[] }
  | { readonly kind: 'call'; readonly name: string; readonly given: readonly Expression[] }
  | { readonly kind: 'not'; readonly inner: Expression }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Expression[] }
  | {
      readonly kind: 'compare';
      readonly operator: Operator;
      readonly left: Expression;
      readonly right: Expression;
    };

const MAX_CONDITION_CHARACTERS = 4_096;
const MAX_DEPTH = 50;

/** Thrown with what is wrong and where in the condition. */
export class ConditionError extends Error {}

/** Throws ConditionError. */
export function parseCondition(text: string): Expression {
  if (text.length > MAX_CONDITION_CHARACTERS)
    throw new ConditionError(`is longer than ${MAX_CONDITION_CHARACTERS} characters`);
  const parser = new Parser(tokensOf(text));
  const expression = parser.or(0);
  parser.end();
  return expression;
}

interface Token {
  readonly kind: 'name' | 'string' | 'number' | 'sign' | 'end';
  readonly text: string;
  readonly at: number;
}

const TOKEN =
  /\s*(?:([A-Za-z_][A-Za-z0-9_]*)|("(?:[^"\\]|\\.)*")|(-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(==|!=|<=|>=|[<>()[\],.]))/y;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (text.slice(at).trim() !== '') {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) {
      const bad = text.slice(at).trimStart();
      const where = text.length - bad.length + 1;
      if (bad.startsWith('"')) throw new ConditionError(`the text that begins at ${where} has no closing "`);
      throw new ConditionError(`cannot read ${JSON.stringify(bad.slice(0, 10))} at ${where}`);
    }
    const [whole, name, string, number, sign] = match;
    const kind =
      name !== undefined
        ? 'name'
        : string !== undefined
          ? 'string'
          : number !== undefined
            ? 'number'
            : 'sign';
    const token = (name ?? string ?? number ?? sign)!;
    tokens.push({ kind, text: token, at: at + whole.length - token.length + 1 });
    at += whole.length;
  }
  tokens.push({ kind: 'end', text: 'the end', at: text.length + 1 });
  return tokens;
}

const COMPARISONS: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=']);
const LITERALS: Readonly<Record<string, Literal>> = { true: true, false: false, nil: null };

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  or(depth: number): Expression {
    return this.#list('or', depth, () => this.#list('and', depth, () => this.#not(depth)));
  }

  end(): void {
    if (this.#peek().kind !== 'end') throw this.#unexpected('and, or, a comparison or the end');
  }

  #list(kind: 'and' | 'or', depth: number, part: () => Expression): Expression {
    if (depth > MAX_DEPTH) throw new ConditionError(`is nested deeper than ${MAX_DEPTH} levels`);
    const parts = [part()];
    while (this.#takes(kind)) parts.push(part());
    return parts.length === 1 ? parts[0]! : { kind, parts };
  }

  #not(depth: number): Expression {
    if (this.#takes('not')) return { kind: 'not', inner: this.#not(depth) };
    if (this.#takes('(')) {
      const inner = this.or(depth + 1);
      this.#expect(')');
      return inner;
    }
    const left = this.#value(depth);
    const operator = this.#peek().text;
    if (this.#peek().kind !== 'sign' || !COMPARISONS.has(operator)) return left;
    this.#next++;
    return { kind: 'compare', operator: operator as Operator, left, right: this.#value(depth) };
  }

  #value(depth: number): Expression {
    const token = this.#peek();
    this.#next++;
    if (token.kind === 'string') return { kind: 'literal', value: unquoted(token) };
    if (token.kind === 'number') return { kind: 'literal', value: numberOf(token.text) };
    if (token.kind !== 'name') {
      this.#next--;
      throw this.#unexpected('a value');
    }
    if (Object.hasOwn(LITERALS, token.text)) return { kind: 'literal', value: LITERALS[token.text]! };
    if (this.#takes('(')) return { kind: 'call', name: token.text, given: this.#arguments(depth) };
    let names = token.text;
    while (this.#takes('.')) {
      const part = this.#peek();
      if (part.kind !== 'name') throw this.#unexpected('a name');
      names += `.${part.text}`;
      this.#next++;
    }
    const keys: (string | number)[] = [];
    while (this.#takes('[')) {
      const key = this.#peek();
      if (key.kind !== 'string' && !(key.kind === 'number' && /^\d+$/.test(key.text)))
        throw this.#unexpected('a key in quotes');
      keys.push(key.kind === 'string' ? unquoted(key) : Number(key.text));
      this.#next++;
      this.#expect(']');
    }
    return { kind: 'path', names, keys };
  }

  #arguments(depth: number): Expression[] {
    const given: Expression[] = [];
    if (this.#takes(')')) return given;
    do given.push(this.#value(depth + 1));
    while (this.#takes(','));
    this.#expect(')');
    return given;
  }

  #peek(): Token {
    return this.#tokens[this.#next]!;
  }

  #takes(text: string): boolean {
    const { kind, text: found } = this.#peek();
    if (found !== text || (kind !== 'sign' && kind !== 'name')) return false;
    this.#next++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#takes(text)) throw this.#unexpected(text);
  }

  #unexpected(wanted: string): ConditionError {
    const { text, at } = this.#peek();
    return new ConditionError(`expected ${wanted} at ${at}, found ${text}`);
  }
}

function unquoted({ text, at }: Token): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    // `\.` is no escape of JSON: what stands there is meant as it stands, as for a regular expression.
    if (/[\n\r\t]/.test(text)) throw new ConditionError(`the text at ${at} goes over several lines`);
    return text.slice(1, -1).replace(/\\(["\\])/g, '$1');
  }
}

function numberOf(text: string): number | bigint {
  const number = Number(text);
  return /^-?\d+$/.test(text) && !Number.isSafeInteger(number) ? BigInt(text) : number;
}
