// The parameters of a query: declared once, as JSON schemas that the OpenAPI description shows and that requests are read by.

export type ParameterSchema =
  | {
      readonly type: 'integer';
      readonly minimum: number;
      readonly maximum: number;
      readonly default?: number;
    }
  | { readonly type: 'number' }
  | {
      readonly type: 'string';
      readonly maxLength: number;
      readonly enum?: readonly string[];
      readonly default?: string;
    }
  /** Comma-separated, and may be given several times. */
  | {
      readonly type: 'array';
      readonly maxItems: number;
      readonly items: {
        readonly type: 'string';
        readonly maxLength: number;
        readonly enum?: readonly string[];
      };
    };

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly description: string;
  readonly required?: true;
  readonly schema: ParameterSchema;
  /** Each occurrence is one item, commas included. */
  readonly verbatim?: true;
}

/** The asker's mistake. `parameter` is named in the answer. */
export class BadRequest extends Error {
  readonly status: number;
  readonly parameter: string | undefined;
  constructor(message: string, parameter?: string, status = 400) {
    super(message);
    this.name = 'BadRequest';
    this.parameter = parameter;
    this.status = status;
  }
}

/** The values of one request. */
export class Values {
  readonly #values: ReadonlyMap<string, string | number | readonly string[]>;
  constructor(values: ReadonlyMap<string, string | number | readonly string[]>) {
    this.#values = values;
  }
  number(name: string): number | undefined {
    const value = this.#values.get(name);
    return typeof value === 'number' ? value : undefined;
  }
  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return typeof value === 'string' ? value : undefined;
  }
  list(name: string): readonly string[] {
    const value = this.#values.get(name);
    return Array.isArray(value) ? (value as readonly string[]) : [];
  }
}

/** Reads what a request gives. `path`: the values of the path's parameters, decoded. @throws BadRequest */
export function readParameters(
  declared: readonly Parameter[],
  query: URLSearchParams,
  path: ReadonlyMap<string, string>,
): Values {
  const known = new Map(declared.map(parameter => [parameter.name, parameter]));
  for (const name of query.keys()) {
    if (known.get(name)?.in === 'query') continue;
    const names = declared.filter(parameter => parameter.in === 'query').map(parameter => parameter.name);
    const there = names.length === 0 ? 'there are none here' : `there are ${names.join(', ')}`;
    throw new BadRequest(
      `unknown parameter ${JSON.stringify(name.slice(0, 100))}: ${there}`,
      name.slice(0, 100),
    );
  }
  const values = new Map<string, string | number | readonly string[]>();
  for (const parameter of declared) {
    const { name } = parameter;
    const given =
      parameter.in === 'path' ? [path.get(name) ?? ''] : query.getAll(name).filter(text => text !== '');
    if (given.length === 0) {
      if (parameter.required) throw new BadRequest(`parameter ${name} is missing`, name);
      if ('default' in parameter.schema && parameter.schema.default !== undefined)
        values.set(name, parameter.schema.default);
      continue;
    }
    values.set(name, readValue(parameter, given));
  }
  return new Values(values);
}

function readValue(
  { name, schema, verbatim }: Parameter,
  given: readonly string[],
): string | number | readonly string[] {
  if (schema.type === 'array') {
    const items = verbatim ? given : given.flatMap(text => text.split(',')).filter(item => item !== '');
    const unique = [...new Set(items)];
    if (unique.length > schema.maxItems)
      throw new BadRequest(
        `parameter ${name}: ${unique.length} items, at most ${schema.maxItems} at a time`,
        name,
      );
    for (const item of unique) checkText(name, item, schema.items);
    return unique;
  }
  if (given.length > 1) throw new BadRequest(`parameter ${name} is given more than once`, name);
  const text = given[0]!;
  if (schema.type === 'string') {
    checkText(name, text, schema);
    return text;
  }
  const isNumber = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text) && text.length <= 64;
  const value = isNumber ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw new BadRequest(`parameter ${name} is not a number`, name);
  if (schema.type === 'number') return value;
  if (!Number.isInteger(value) || value < schema.minimum || value > schema.maximum)
    throw new BadRequest(
      `parameter ${name} must be an integer from ${schema.minimum} to ${schema.maximum}`,
      name,
    );
  return value;
}

function checkText(
  name: string,
  text: string,
  { maxLength, enum: allowed }: { readonly maxLength: number; readonly enum?: readonly string[] },
): void {
  if (text.length > maxLength)
    throw new BadRequest(`parameter ${name}: at most ${maxLength} characters`, name);
  if (allowed !== undefined && !allowed.includes(text))
    throw new BadRequest(`parameter ${name} must be one of ${allowed.join(', ')}`, name);
}
