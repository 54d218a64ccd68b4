// The import rules of the house, as a check that fails: who may import whom, and what `import 'kymo'` must not load.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Each part and the parts that it may import from (itself included by nature). */
const ALLOWED = {
  semconv: [],
  otlp: ['semconv'],
  sdk: ['semconv', 'otlp'],
  research: ['semconv', 'otlp', 'sdk'],
  history: ['semconv', 'research'],
  collector: ['semconv', 'otlp'],
  register: ['semconv', 'otlp', 'sdk', 'research'],
  cli: ['semconv', 'otlp', 'sdk', 'research', 'history', 'collector', 'register'],
  // The public entry points: files directly in src/.
  entry: ['semconv', 'sdk', 'research', 'register'],
};
/** Packages that only these parts (or files) may import at all; `lazily` ones only while they run (`require`, `import()`). */
const PACKAGES = [
  { name: /^@grpc\//, parts: ['collector'] },
  { name: /^yaml(\/|$)/, parts: ['collector', 'cli'], lazily: ['research'] },
  { name: /^zod(\/|$)/, parts: ['collector', 'cli'] },
  { name: /^@tensorflow\//, parts: ['history', 'sdk'] },
];
/** What loads with `import 'kymo'`: only these packages may be imported statically from there. */
const ENTRY_PACKAGES = [/^node:/, /^@opentelemetry\/api$/];

const problems = [];
const files = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && /\.tsx?$/.test(entry.name))
  .map(entry => join(entry.parentPath, entry.name));

for (const file of files) {
  const from = partOf(file);
  for (const { specifier, typeOnly, line, lazy } of [...importsOf(file), ...lazyImportsOf(file)]) {
    const where = `${relative(root, file)}:${line}`;
    if (specifier.startsWith('.')) {
      const to = partOf(resolve(dirname(file), specifier));
      if (to !== from && !(ALLOWED[from] ?? []).includes(to))
        problems.push(`${where}: ${from} may not import ${to} (${specifier})`);
      continue;
    }
    for (const rule of PACKAGES)
      if (
        !typeOnly &&
        rule.name.test(specifier) &&
        ![...rule.parts, ...(lazy ? (rule.lazily ?? []) : [])].includes(from)
      )
        problems.push(`${where}: only ${rule.parts.join(', ')} may import ${specifier}`);
  }
}
checkEntry(join(root, 'src/index.ts'));
checkCycles();

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`import rules: ${files.length} files keep them`);

function partOf(file) {
  const [first, second] = relative(join(root, 'src'), file).split('/');
  return second === undefined ? 'entry' : first;
}

function importsOf(file) {
  const found = [];
  const text = readFileSync(file, 'utf8');
  const pattern = /^\s*(?:import|export)\s+(type\s+)?(?:[^'"();]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
  for (const match of text.matchAll(pattern)) {
    const start = match.index + match[0].search(/\S/);
    const names = match[0].match(/\{([^}]*)\}/)?.[1];
    const onlyTypes =
      names?.split(',').every(name => name.trim() === '' || name.trim().startsWith('type ')) ?? false;
    const line = text.slice(0, start).split('\n').length;
    found.push({ specifier: match[2], typeOnly: match[1] !== undefined || onlyTypes, line });
  }
  return found;
}

/** What is loaded while the program runs. `typeof import('…')` is a type and loads nothing. */
function lazyImportsOf(file) {
  const text = readFileSync(file, 'utf8');
  const pattern = /(?<!typeof )\b(?:require|import)\(\s*['"]([^'"]+)['"]\s*\)/g;
  return [...text.matchAll(pattern)].map(match => ({
    specifier: match[1],
    typeOnly: false,
    lazy: true,
    line: text.slice(0, match.index).split('\n').length,
  }));
}

/** Follows static imports from the public entry: nothing heavy may load with it. */
function checkEntry(entry) {
  const seen = new Set();
  const queue = [entry];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    let imports;
    try {
      imports = importsOf(file);
    } catch {
      continue;
    }
    for (const { specifier, typeOnly, line } of imports) {
      if (typeOnly) continue;
      if (specifier.startsWith('.')) queue.push(resolve(dirname(file), specifier));
      else if (!ENTRY_PACKAGES.some(allowed => allowed.test(specifier)))
        problems.push(
          `${relative(root, file)}:${line}: import 'kymo' would load ${specifier}; load it on first use`,
        );
    }
  }
}

function checkCycles() {
  const state = new Map();
  const visit = (file, path) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      const cycle = [...path.slice(path.indexOf(file)), file].map(f => relative(root, f));
      problems.push(`circular import: ${cycle.join(' -> ')}`);
      return;
    }
    state.set(file, 'open');
    for (const { specifier, typeOnly } of importsOf(file))
      if (!typeOnly && specifier.startsWith('.')) {
        const target = resolve(dirname(file), specifier);
        if (files.includes(target)) visit(target, [...path, file]);
      }
    state.set(file, 'done');
  };
  for (const file of files) visit(file, []);
}
