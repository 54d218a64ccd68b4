// Component and pipeline ids: `type` or `type/name`, by upstream's rules.

export interface ComponentId {
  /** As other parts of the configuration refer to it, trimmed: `otlp` or `otlp/second`. */
  readonly id: string;
  readonly type: string;
  readonly name: string;
}

const TYPE = /^[a-zA-Z][0-9a-zA-Z_]{0,62}$/;
/** No separators, control characters or symbols. */
const NAME = /^[^\p{Z}\p{C}\p{S}]+$/u;
const MAX_NAME_CHARACTERS = 1024;

/** The id in its parts, or why it is none. */
export function parseId(text: string): ComponentId | { readonly problem: string } {
  const slash = text.indexOf('/');
  const type = (slash < 0 ? text : text.slice(0, slash)).trim();
  const name = slash < 0 ? '' : text.slice(slash + 1).trim();
  if (type === '') return { problem: 'id must not be empty' };
  if (slash >= 0 && name === '') return { problem: `in "${text}" id: the part after / should not be empty` };
  if (!TYPE.test(type)) return { problem: `invalid character(s) in type "${type}"` };
  if (name !== '' && (name.length > MAX_NAME_CHARACTERS || !NAME.test(name))) {
    return { problem: `invalid character(s) in name of "${type}/…"` };
  }
  return { id: name === '' ? type : `${type}/${name}`, type, name };
}
