// Requests that an exporter could not take, kept as files for a human to look at; the exporter goes on without them.
import fs from 'node:fs';
import path from 'node:path';
import type { Batch, Logger, Position } from '../component.ts';
import { errorText, replaceFile } from '../journal/durable-file.ts';
import { exporterFolder } from './cursor-store.ts';
import { MAX_QUARANTINED_FILES } from './limits.ts';

export class Quarantine {
  readonly #folder: string;
  readonly #exporter: string;
  readonly #logger: Logger;
  readonly #positions = new Set<Position>();

  constructor(directory: string, exporter: string, logger: Logger) {
    this.#folder = path.join(directory, exporterFolder(exporter));
    this.#exporter = exporter;
    this.#logger = logger;
  }

  has(position: Position): boolean {
    return this.#positions.has(position);
  }

  /** Files the request and the reason, then remembers to leave the batch out. Throws what the file system throws; the batch is then not left out. */
  async add(batch: Batch, error: unknown, attempts: number): Promise<void> {
    const name = `${String(batch.position).padStart(20, '0')}.${batch.signal}`;
    const file = path.join(this.#folder, `${name}.pb`);
    await fs.promises.mkdir(this.#folder, { recursive: true });
    const full = (await fs.promises.readdir(this.#folder)).length >= MAX_QUARANTINED_FILES * 2;
    if (!full) {
      await fs.promises.writeFile(file, batch.bytes);
      const about = {
        exporter: this.#exporter,
        position: batch.position,
        signal: batch.signal,
        batchKey: batch.batchKey,
        receivedAt: new Date(Number(batch.receivedUnixNano / 1_000_000n)).toISOString(),
        quarantinedAt: new Date().toISOString(),
        bytes: batch.bytes.byteLength,
        attempts,
        reason: errorText(error),
        stack:
          typeof error === 'object' && error !== null && 'stack' in error ? String(error.stack) : undefined,
      };
      await replaceFile(path.join(this.#folder, `${name}.json`), `${JSON.stringify(about, undefined, 2)}\n`, {
        durable: true,
      });
    }
    this.#positions.add(batch.position);
    this.#logger.error(`${this.#exporter}: cannot take a request after ${attempts} attempts, left out`, {
      position: batch.position,
      reason: errorText(error),
      ...(full ? { notKept: `${this.#folder} holds ${MAX_QUARANTINED_FILES} requests already` } : { file }),
    });
  }

  /** The cursor is durable beyond these: they cannot come again. */
  forgetBefore(position: Position): void {
    for (const known of this.#positions) if (known < position) this.#positions.delete(known);
  }
}
