// What was found damaged in a journal: counted, logged, and written once to quarantine/journal.jsonl beside the segments.
import fs from 'node:fs';
import path from 'node:path';
import type { Logger } from '../component.ts';
import { errorCode, errorText } from './durable-file.ts';
import { MAX_FINDINGS, MAX_REPORT_BYTES } from './limits.ts';
import type { Finding } from './source.ts';

export class FindingsReport {
  readonly #file: string;
  readonly #logger: Logger;
  readonly #known = new Set<string>();
  readonly #findings: Finding[] = [];
  #count = 0;
  #bytes = 0;
  #fileSize = 0;

  private constructor(file: string, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
  }

  /** Reads what earlier processes reported, so that one damage is not reported at every start. */
  static async open(directory: string, logger: Logger): Promise<FindingsReport> {
    const report = new FindingsReport(path.join(directory, 'quarantine', 'journal.jsonl'), logger);
    try {
      const text = await fs.promises.readFile(report.#file, 'utf8');
      report.#fileSize = text.length;
      for (const line of text.split('\n')) {
        const key = findingKeyOfLine(line);
        if (key !== undefined) report.#known.add(key);
      }
    } catch (error) {
      if (errorCode(error) !== 'ENOENT')
        logger.warn('journal: cannot read the report of damage', { reason: errorText(error) });
    }
    return report;
  }

  /** How many stretches this process found, and how many bytes they hold. */
  get count(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#bytes;
  }
  /** The first of them. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  add(finding: Finding): void {
    if (this.#findings.some(known => findingKey(known) === findingKey(finding))) return;
    this.#count++;
    this.#bytes += finding.next - finding.position;
    if (this.#findings.length < MAX_FINDINGS) this.#findings.push(finding);
    const key = findingKey(finding);
    if (this.#known.has(key)) return;
    this.#known.add(key);
    // A torn end is what a killed collector leaves: nobody was told that it is stored.
    this.#logger[finding.kind === 'torn' ? 'warn' : 'error'](
      `journal: ${finding.kind} data at position ${finding.position}, left out`,
      {
        segment: finding.segment,
        bytes: finding.next - finding.position,
        reason: finding.reason,
      },
    );
    const line = `${JSON.stringify({ foundAt: new Date().toISOString(), ...finding })}\n`;
    if (this.#fileSize + line.length > MAX_REPORT_BYTES) return;
    this.#fileSize += line.length;
    try {
      fs.mkdirSync(path.dirname(this.#file), { recursive: true });
      fs.appendFileSync(this.#file, line);
    } catch (error) {
      this.#logger.warn('journal: cannot write the report of damage', { reason: errorText(error) });
    }
  }
}

function findingKey(finding: Finding): string {
  return `${finding.kind} ${finding.position} ${finding.next}`;
}
function findingKeyOfLine(line: string): string | undefined {
  try {
    return findingKey(JSON.parse(line) as Finding);
  } catch {
    return undefined;
  }
}
