// Numbers that may still be on the device: read without anybody waiting, in the order in which they were given.

interface Scalar {
  clone(): Scalar;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}

/** Rows whose values are on their way from the device. A device that is further behind loses rows, and they are counted. */
const MAX_READING = 256;

let reading = 0;
let skipped = 0;
let previous: Promise<void> = Promise.resolve();

/** Rows that were not read because the device was too far behind. */
export function skippedRows(): number {
  return skipped;
}

/** Calls back with plain numbers: at once where they all are, else when the device has answered. What is no number is left out. */
export function pending(
  values: Readonly<Record<string, unknown>>,
  then: (values: Readonly<Record<string, number>>) => void,
): void {
  const entries = Object.entries(values);
  const plain = entries.filter(([, value]) => typeof value === 'number') as [string, number][];
  const tensors = entries.filter(([, value]) => isScalar(value)) as [string, Scalar][];
  if (tensors.length === 0 && reading === 0) {
    if (plain.length > 0) then(Object.fromEntries(plain));
    return;
  }
  if (reading >= MAX_READING) {
    skipped++;
    return;
  }
  reading++;
  // The training disposes its own tensors as soon as the callback has returned.
  const kept = tensors.map(([name, tensor]) => [name, tensor.clone()] as const);
  const numbers = Promise.all(
    kept.map(async ([name, tensor]) => {
      try {
        return [name, Number((await tensor.data())[0])] as const;
      } finally {
        tensor.dispose();
      }
    }),
  );
  previous = Promise.all([numbers, previous])
    .then(([read]) => then(Object.fromEntries([...plain, ...read])))
    .catch(() => undefined)
    .finally(() => {
      reading--;
    });
}

function isScalar(value: unknown): value is Scalar {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Scalar).data === 'function' &&
    typeof (value as Scalar).clone === 'function'
  );
}
