// Holds a value against the few words of JSON Schema that the description uses; what it does not know is an error, not a pass.

type Schema = Readonly<Record<string, unknown>>;
const KNOWN = new Set(['type', 'properties', 'required', 'additionalProperties', 'items', 'minimum', '$ref']);

/** What is wrong with a value, by path; empty when nothing is. `document`: where references lead. */
export function schemaProblems(schema: Schema, value: unknown, document: Schema, path = '$'): string[] {
  for (const word of Object.keys(schema))
    if (!KNOWN.has(word)) throw new Error(`${path}: unknown word ${word}`);
  if (typeof schema.$ref === 'string') {
    const target = schema.$ref
      .slice(2)
      .split('/')
      .reduce((at: unknown, key) => (at as Schema)[key], document);
    return schemaProblems(target as Schema, value, document, path);
  }
  const types = [schema.type ?? []].flat() as string[];
  if (types.length > 0 && !types.some(type => isOf(type, value)))
    return [`${path}: ${JSON.stringify(value)?.slice(0, 80)} is no ${types.join(' or ')}`];
  if (typeof schema.minimum === 'number' && typeof value === 'number' && value < schema.minimum)
    return [`${path}: ${value} is below ${schema.minimum}`];
  if (Array.isArray(value))
    return value.flatMap((item, i) =>
      schemaProblems((schema.items ?? {}) as Schema, item, document, `${path}[${i}]`),
    );
  if (typeof value !== 'object' || value === null) return [];
  const properties = (schema.properties ?? {}) as Readonly<Record<string, Schema>>;
  const missing = ((schema.required ?? []) as string[]).filter(key => !(key in value));
  const problems = missing.map(key => `${path}: ${key} is missing`);
  for (const [key, item] of Object.entries(value)) {
    const { additionalProperties } = schema;
    const inner = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (inner !== undefined) problems.push(...schemaProblems(inner, item, document, `${path}.${key}`));
    else if (additionalProperties === false) problems.push(`${path}: ${key} is not described`);
    else if (typeof additionalProperties === 'object')
      problems.push(...schemaProblems(additionalProperties as Schema, item, document, `${path}.${key}`));
  }
  return problems;
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
