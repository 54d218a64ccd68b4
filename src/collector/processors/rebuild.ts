// A batch with other attributes: everything that names them is made anew, and it is decided again what belongs to which run.
import type { Attributes, Resource, Series } from '../../otlp/model.ts';
import type { Batch, ResolvedHistogram, ResolvedLog, ResolvedSpan } from '../component.ts';
import { CHANGED, changedBatch } from '../feed/changed-batch.ts';
import type { Resolver } from '../runs/resolve.ts';

/** Each returns what it was given where nothing changes. */
export interface Changes {
  resource?(attributes: Attributes): Attributes;
  /** Of points, log records and spans. */
  own?(attributes: Attributes): Attributes;
}

/** The batch itself where nothing changes. */
export function rebuilt(batch: Batch, changes: Changes, resolver: Resolver): Batch {
  const { receivedUnixNano } = batch;
  const resources = new Map<Resource, Resource>();
  const resourceOf = (resource: Resource): Resource => {
    if (changes.resource === undefined) return resource;
    let changed = resources.get(resource);
    if (changed === undefined) {
      const attributes = changes.resource(resource.attributes);
      changed = attributes === resource.attributes ? resource : { attributes };
      resources.set(resource, changed);
    }
    return changed;
  };
  const own = changes.own ?? (attributes => attributes);
  /** The same item where nothing in it changes. */
  const renew = <T extends { readonly resource: Resource; readonly attributes: Attributes }>(item: T): T => {
    const resource = resourceOf(item.resource);
    const attributes = own(item.attributes);
    return resource === item.resource && attributes === item.attributes
      ? item
      : { ...item, resource, attributes };
  };

  let changed = false;
  const note = <T>(before: T, after: T): boolean => {
    if (before === after) return false;
    changed = true;
    return true;
  };

  let { scalars } = batch;
  if (scalars !== undefined) {
    const { columns, resolved, rows } = scalars;
    const series = columns.series.map(renew);
    // Rows stay what they are: one call, wherever it belongs now.
    if (series.some((one, i) => note(columns.series[i], one)))
      scalars = {
        columns: { ...columns, series },
        resolved: series.map((one, i) =>
          one === columns.series[i] ? resolved[i]! : resolver.series(one, receivedUnixNano),
        ),
        rows,
      };
  }

  const seriesOf = new Map<Omit<Series, 'kind'>, Omit<Series, 'kind'>>();
  const histograms = batch.histograms.map((histogram): ResolvedHistogram => {
    const before = histogram.point.series;
    const series = seriesOf.get(before) ?? renew(before);
    seriesOf.set(before, series);
    if (!note(before, series)) return histogram;
    return { point: { ...histogram.point, series }, resolved: resolver.series(series, receivedUnixNano) };
  });
  const logs = batch.logs.map((log): ResolvedLog => {
    const record = renew(log.record);
    return note(log.record, record) ? { record, ...resolver.log(record, receivedUnixNano) } : log;
  });
  const spans = batch.spans.map((span): ResolvedSpan => {
    const record = renew(span.record);
    return note(span.record, record) ? { record, ...resolver.span(record, receivedUnixNano) } : span;
  });
  return changed ? changedBatch(batch, { scalars, histograms, logs, spans }, CHANGED) : batch;
}
