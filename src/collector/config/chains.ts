// Which processors stand before each exporter, by signal, and what of that cannot be.
import { SIGNALS, type Signal } from '../../otlp/model.ts';
import type { ExporterType, ProcessorType } from '../component.ts';
import type { Configured } from './config.ts';
import { configured, type Found, type Reference } from './found.ts';
import type { Place, Problem } from './problem.ts';
import { placeAt } from './tree.ts';

interface Chain {
  readonly exporter: Found<ExporterType>;
  readonly signal: Signal;
  readonly pipeline: string;
  readonly processors: readonly Reference<ProcessorType>[];
  /** Where the pipeline lists its processors. */
  readonly place: Place;
}

/** One chain per exporter and signal: an exporter reads each batch of the journal once, however many pipelines name it. */
export class Chains {
  readonly #chains = new Map<string, Map<Signal, Chain>>();
  readonly #problems: Problem[] = [];

  add(
    exporter: Found<ExporterType>,
    signal: Signal,
    pipeline: string,
    processors: readonly Reference<ProcessorType>[],
    place: Place,
  ): void {
    let chains = this.#chains.get(exporter.id);
    if (chains === undefined) {
      chains = new Map();
      this.#chains.set(exporter.id, chains);
    }
    const before = chains.get(signal);
    if (before === undefined) {
      chains.set(signal, { exporter, signal, pipeline, processors, place });
    } else if (idsOf(before.processors) !== idsOf(processors)) {
      const type = exporter.id.split('/')[0];
      this.#problems.push({
        place,
        path: `service::pipelines::${pipeline}`,
        message: `exporter "${exporter.id}" gets ${signal} from "${before.pipeline}" through other processors: give one of the two pipelines an exporter of its own, such as ${type}/second`,
      });
    }
  }

  /** @param exporters all that are configured */
  problems(exporters: readonly string[]): readonly Problem[] {
    const all = [...this.#chains.values()].flatMap(chains => [...chains.values()]);
    return [
      ...this.#problems,
      ...all.flatMap(forwarderProblems),
      ...all.flatMap(chain => this.#missingSignals(chain)),
      ...checkedAgainst(all, exporters),
    ];
  }

  /** Only where there are no problems. */
  of(exporter: string): ReadonlyMap<Signal, readonly Configured<ProcessorType>[]> {
    const made = new Map<string, Configured<ProcessorType>>();
    const one = ({ found }: Reference<ProcessorType>): Configured<ProcessorType> => {
      const processor = made.get(found.id) ?? configured(found);
      made.set(found.id, processor);
      return processor;
    };
    const chains = [...(this.#chains.get(exporter)?.values() ?? [])];
    return new Map(chains.map(({ signal, processors }) => [signal, processors.map(one)]));
  }

  #missingSignals({ exporter, pipeline, processors }: Chain): Problem[] {
    const chains = this.#chains.get(exporter.id)!;
    return processors.flatMap(({ found, place }) => {
      if (found.type?.needsAllSignals !== true) return [];
      return SIGNALS.filter(signal => found.type?.signals.includes(signal))
        .filter(signal => chains.get(signal)?.processors.some(one => one.found.id === found.id) !== true)
        .map(signal => ({
          place,
          path: `service::pipelines::${pipeline}`,
          message: `"${found.id}" works on ${found.type?.signals.join(' and ')} together: list it in a ${signal} pipeline with exporter "${exporter.id}" too`,
        }));
    });
  }
}

/** Whole requests are forwarded as they came: nothing can have changed them on the way. */
function forwarderProblems({ exporter, pipeline, processors }: Chain): Problem[] {
  if (exporter.type?.forwards !== true) return [];
  return processors.flatMap(({ found, place }) => {
    if (effectOf(found) === 'none' || effectOf(found) === undefined) return [];
    const message = `"${exporter.id}" forwards whole requests as they came, so "${found.id}" cannot stand before it: give it a pipeline without, or put an upstream Collector there`;
    return [{ place, path: `service::pipelines::${pipeline}`, message }];
  });
}

/** What the processors themselves say, once each. */
function checkedAgainst(chains: readonly Chain[], exporters: readonly string[]): Problem[] {
  const used = new Map<Found<ProcessorType>, Set<string>>();
  for (const { exporter, processors } of chains) {
    for (const { found } of processors)
      used.set(found, (used.get(found) ?? new Set<string>()).add(exporter.id));
  }
  return [...used].flatMap(([{ id, type, settings, node, place }, behind]) => {
    if (settings === undefined) return [];
    const said = type?.check?.(settings, { exporters, behind: [...behind] }) ?? [];
    return said.map(({ path, message }) => ({
      place: placeAt(node, path, place),
      path: ['processors', id, ...path].join('::'),
      message,
    }));
  });
}

function effectOf({ type, settings }: Found<ProcessorType>): 'none' | 'keeps' | 'drops' | undefined {
  return settings === undefined ? undefined : type?.effect(settings);
}

function idsOf(processors: readonly Reference<ProcessorType>[]): string {
  return processors.map(({ found }) => found.id).join(' ');
}
