// A configuration once everything in it has been checked: what the service is built from. Types only.
import type { Signal } from '../../otlp/model.ts';
import type { ExporterType, ExtensionType, ReceiverType } from '../component.ts';
import type { JournalSettings } from './journal-settings.ts';
import type { TelemetrySettings } from './telemetry-settings.ts';

/** The component types that a collector is built with; components.ts lists the ones of this package. */
export interface Components {
  readonly receivers: readonly ReceiverType[];
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
}

export interface Pipeline {
  /** `metrics`, `logs/eval`, … */
  readonly id: string;
  readonly signal: Signal;
  readonly receivers: readonly string[];
  readonly exporters: readonly string[];
}

export interface CollectorConfig {
  /** Only what a pipeline uses; the rest was checked and is not created. */
  readonly receivers: readonly Configured<ReceiverType>[];
  readonly exporters: readonly ConfiguredExporter[];
  readonly extensions: readonly Configured<ExtensionType>[];
  readonly pipelines: readonly Pipeline[];
  readonly journal: JournalSettings;
  readonly telemetry: TelemetrySettings;
}
