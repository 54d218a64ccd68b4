// A configuration once everything in it has been checked: what the service is built from. Types only.
import type { Signal } from '../../otlp/model.ts';
import type { ExporterType, ExtensionType, ProcessorType, ReceiverType } from '../component.ts';
import type { JournalSettings } from './journal-settings.ts';
import type { TelemetrySettings } from './telemetry-settings.ts';

/** The component types that a collector is built with; components.ts lists the ones of this package. */
export interface Components {
  readonly receivers: readonly ReceiverType[];
  readonly processors: readonly ProcessorType[];
  readonly exporters: readonly ExporterType[];
  readonly extensions: readonly ExtensionType[];
}

export interface Configured<T> {
  /** `type` or `type/name`. */
  readonly id: string;
  readonly type: T;
  /** What the type's schema made of the settings. */
  readonly settings: unknown;
}

export interface ConfiguredExporter extends Configured<ExporterType> {
  /** The signals that its pipelines give it. */
  readonly takes: ReadonlySet<Signal>;
  /** Its route: only telemetry of these scopes and what lies below them. Undefined: everything. */
  readonly scopes: readonly string[] | undefined;
  /** What its pipelines do to each signal before it comes here, in this order; one instance per id. */
  readonly processors: ReadonlyMap<Signal, readonly Configured<ProcessorType>[]>;
}

export interface Pipeline {
  /** `metrics`, `logs/eval`, … */
  readonly id: string;
  readonly signal: Signal;
  readonly receivers: readonly string[];
  readonly processors: readonly string[];
  readonly exporters: readonly string[];
}

export interface CollectorConfig {
  /** Only what a pipeline uses; the rest was checked and is not created. */
  readonly receivers: readonly Configured<ReceiverType>[];
  /** For what concerns the whole collector; an exporter has its own chain of them. */
  readonly processors: readonly Configured<ProcessorType>[];
  readonly exporters: readonly ConfiguredExporter[];
  readonly extensions: readonly Configured<ExtensionType>[];
  readonly pipelines: readonly Pipeline[];
  readonly journal: JournalSettings;
  readonly telemetry: TelemetrySettings;
}
