// The rule by which a scope is heard: who listens to `a` hears `a` and whatever lies below it, `a.b`.

/** True when `scope` is one of the scopes or lies below one. `global` is a scope like any other. */
export function coversScope(scopes: ReadonlySet<string>, scope: string): boolean {
  if (scopes.has(scope)) return true;
  for (let dot = scope.lastIndexOf('.'); dot > 0; dot = scope.lastIndexOf('.', dot - 1))
    if (scopes.has(scope.slice(0, dot))) return true;
  return false;
}
