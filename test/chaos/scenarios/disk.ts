// Disks that are full, read-only, or lose a folder; files of the collector that are torn, damaged or missing.
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { SEGMENT_HEADER_BYTES } from '../../../src/collector/journal/segment.ts';
import { readFrame } from '../../../src/otlp/frame.ts';
import { paths } from '../../../src/semconv/local.ts';
import type { Arena } from '../arena.ts';
import { cannotFailWrites, IoErrors } from '../io-errors.ts';
import { pause, until } from '../processes.ts';
import type { Random } from '../random.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { cannotMount, SmallDisk } from '../small-disk.ts';
import { freePort, Standalone } from '../standalone.ts';
import { somePlan } from './kills.ts';

/** A scenario with a small disk in place of a folder of the project. */
export function onSmallDisk(
  name: string,
  folderOf: (arena: Arena) => string,
  mebibytes: number,
  body: (arena: Arena, disk: SmallDisk) => Promise<void>,
  short = false,
): Scenario {
  return scenario(
    name,
    async arena => {
      const disk = new SmallDisk(folderOf(arena), mebibytes);
      try {
        await body(arena, disk);
      } finally {
        disk.free();
        // Removed after everything that writes to it has ended.
        arena.afterClose(() => disk.remove());
      }
    },
    { unable: cannotMount, short },
  );
}

/** `finish()` does not wait for ever for a disk that is full. */
const SHORT_EXIT = { KYMO_EXIT_TIMEOUT_MS: '2000' };

const fullSink = onSmallDisk(
  'the disk of the run files is full for a while',
  arena => arena.runs,
  16,
  async (arena, disk) => {
    const producer = arena.start(somePlan(arena, 'run'), { burst: 10, pauseMs: 8, env: SHORT_EXIT });
    await producer.untilRecorded(arena.random.below(1_000));
    disk.fill();
    arena.tally.faults++;
    await pause(arena.random.between(500, 2_000));
    disk.free();
    await arena.settle();
    arena.judgeAll();
  },
);

const readOnlySink = onSmallDisk(
  'the disk of the run files becomes read-only for a while',
  arena => arena.runs,
  16,
  async (arena, disk) => {
    const producer = arena.start(somePlan(arena, 'run'), { burst: 10, pauseMs: 8, env: SHORT_EXIT });
    await producer.untilRecorded(arena.random.below(1_000));
    // Refused while a file is open for writing: then the collector has to go first.
    arena.killCollectors();
    await pause(30);
    disk.readOnly(true);
    arena.tally.faults++;
    await pause(arena.random.between(500, 1_500));
    disk.readOnly(false);
    await arena.settle();
    arena.judgeAll();
  },
);

const fullJournal = onSmallDisk(
  'the disk of the journal and the spool is full for a while',
  arena => join(arena.folder, '.kymo'),
  24,
  async (arena, disk) => {
    const producer = arena.start(somePlan(arena, 'run', 3_000), { burst: 10, pauseMs: 8, flushEvery: 300 });
    await producer.untilRecorded(arena.random.below(1_000));
    for (let i = 0; i < 2 && !producer.child.hasEnded(); i++) {
      disk.fill();
      arena.tally.faults++;
      await pause(arena.random.between(200, 1_000));
      if (arena.random.chance(0.5)) arena.killCollectors();
      await pause(arena.random.between(100, 500));
      disk.free();
      await pause(300);
    }
    await producer.child.ended;
    await arena.settle();
    arena.judgeAll();
  },
  true,
);

const fullSpool = onSmallDisk(
  'the disk of the spool is full while the collector is away, and the trainer is killed after that',
  arena => paths(arena.folder).spool,
  8,
  async (arena, disk) => {
    const collector = new Standalone(arena, await freePort(), arena.storeUrl);
    arena.sendTo(`http://127.0.0.1:${collector.port}`);
    disk.fill();
    arena.tally.faults++;
    const producer = arena.start(somePlan(arena, 'run', 100_000), {
      burst: 10,
      pauseMs: 8,
      ending: 'hang',
    });
    await producer.untilRecorded(200);
    await pause(500);
    disk.free();
    await pause(1_200);
    producer.kill();
    await arena.settleStandalone(collector);
    arena.judgeAll();
  },
);

const fullEventFiles = scenario(
  'the disk of one sink is full for a while, and the others go on',
  async arena => {
    const disk = new SmallDisk(arena.eventFiles, 4);
    arena.afterClose(() => disk.remove());
    const producer = arena.start(somePlan(arena, 'run'), { burst: 10, pauseMs: 8, env: SHORT_EXIT });
    await producer.untilRecorded(arena.random.below(1_000));
    disk.fill();
    arena.tally.faults++;
    await producer.untilRecorded(producer.plans[0]!.rows);
    // Everything is in the other sinks while this one has no room.
    const settled = arena.sinks.filter(sink => sink !== 'tensorboard');
    await until(`${settled} to have everything`, () =>
      settled.every(sink => arena.judgeSink(sink).faults.every(({ kind }) => kind !== 'lost')),
    );
    disk.free();
    await arena.settle();
    arena.judgeAll();
  },
  { unable: cannotMount, tensorboard: 'events' },
);

/** A disk that fails for a while below one of the project's folders. */
function failingDisk(what: string, folderOf: (arena: Arena) => string, short = false): Scenario {
  return scenario(
    `writes ${what} fail with EIO for a while`,
    async arena => {
      const { random } = arena;
      const errors = new IoErrors(arena.folder, folderOf(arena));
      const env = { ...errors.env, ...SHORT_EXIT };
      const producer = arena.start(somePlan(arena, 'run'), { burst: 10, pauseMs: 8, env });
      for (let i = 0; i < 2; i++) {
        await producer.untilRecorded(1 + random.below(900) + i * 900);
        errors.on();
        arena.tally.faults++;
        await pause(random.between(300, 1_500));
        if (random.chance(0.3)) arena.killCollectors();
        errors.off();
        await pause(random.between(0, 300));
      }
      await arena.settle();
      if (!arena.story().some(text => text.includes('EIO')))
        throw new Error('no write failed, so this proved nothing');
      arena.judgeAll();
    },
    { unable: cannotFailWrites, short },
  );
}
const failingSink = failingDisk('to the run files', arena => arena.runs);
const failingJournal = failingDisk('to the journal', arena => paths(arena.folder).journal, true);

const failingSpool = scenario(
  'writes to the spool fail with EIO while the collector is away',
  async arena => {
    const collector = new Standalone(arena, await freePort(), arena.storeUrl);
    arena.sendTo(`http://127.0.0.1:${collector.port}`);
    const errors = new IoErrors(arena.folder, paths(arena.folder).spool);
    errors.on();
    arena.tally.faults++;
    const task = { burst: 10, pauseMs: 8, env: { ...errors.env, KYMO_EXIT_TIMEOUT_MS: '30000' } };
    const killed = arena.start(somePlan(arena, 'killed', 100_000), { ...task, ending: 'hang' });
    const ends = arena.start(somePlan(arena, 'ends', 1_000), task);
    await killed.untilRecorded(200);
    await pause(500);
    // A file that could not be begun is there for a moment.
    await until('no spool file to be there', () => arena.leftInSpool().length === 0 || undefined);
    errors.off();
    // The spool tries again after a second.
    await pause(1_500);
    if (arena.leftInSpool().length === 0) throw new Error('nothing was spooled after the errors');
    killed.kill();
    errors.on();
    await ends.untilRecorded(1_000);
    await collector.start();
    await ends.child.ended;
    errors.off();
    await arena.settleStandalone(collector);
    arena.judgeAll();
  },
  { unable: cannotFailWrites },
);

const removedRun = scenario("a run's folder is removed while it is written", async arena => {
  const producer = arena.start(somePlan(arena, 'run', 2_000), { burst: 10, pauseMs: 8 });
  await producer.untilRecorded(700);
  await pause(700);
  rmSync(join(arena.runs, 'run'), { recursive: true, force: true });
  arena.tally.faults++;
  const removedAt = Date.now();
  arena.note('removed');
  // What was in the files is gone from them, and from them only; a batch may have been under way.
  producer.instead = (sink, recordedAtMs) =>
    sink === 'otlp' || recordedAtMs > removedAt + 1_000 ? 'there' : 'maybe';
  await arena.settle();
  arena.judgeAll();
});

const CURSOR_DAMAGE = ['missing', 'torn', 'flipped', 'both missing', 'both damaged', 'ahead'] as const;

const damagedCursor = scenario('cursor files are damaged between two collectors', async arena => {
  const { random } = arena;
  for (let i = 0; i < 2; i++) {
    const producer = arena.start(somePlan(arena, 'run', 600), { burst: 10, pauseMs: 8 });
    await producer.untilRecorded(random.below(600));
    if (random.chance(0.5)) arena.killCollectors();
    await producer.child.ended;
    await arena.quiet();
    const cursors = join(paths(arena.folder).journal, 'cursors');
    for (const exporter of readdirSync(cursors)) {
      if (random.chance(0.3)) continue;
      const kind = random.pick(CURSOR_DAMAGE);
      arena.note(`cursor of ${exporter}: ${kind}`);
      damageCursor(join(cursors, exporter), kind, random.next());
      arena.tally.faults++;
    }
  }
  await arena.settle();
  arena.judgeAll();
});

function damageCursor(folder: string, kind: (typeof CURSOR_DAMAGE)[number], where: number): void {
  const current = join(folder, 'current');
  const previous = join(folder, 'previous');
  const files = [current, ...(kind.startsWith('both') ? [previous] : [])].filter(file => existsSync(file));
  for (const file of files) {
    const bytes = readFileSync(file);
    const at = Math.floor(where * bytes.length);
    if (kind.endsWith('missing')) rmSync(file);
    else if (kind === 'torn') truncateSync(file, at);
    else {
      bytes[at]! ^= 1 << Math.floor(where * 8);
      writeFileSync(file, bytes);
    }
  }
}

const tornJournal = scenario("the journal's last segment ends in half a record", async arena => {
  const { random } = arena;
  for (let i = 0; i < 3; i++) {
    const producer = arena.start(somePlan(arena, `torn${i}`, 100_000), {
      burst: 10,
      pauseMs: 8,
      warm: true,
      ending: 'hang',
    });
    await producer.untilRecorded(100 + random.below(500));
    producer.kill();
    arena.killCollectors();
    await producer.child.ended;
    await arena.quiet();
    const { journal } = paths(arena.folder);
    const segments = readdirSync(journal)
      .filter(name => name.endsWith('.log'))
      .sort();
    const last = join(journal, segments.at(-1)!);
    // What a kill in the middle of a write leaves: the beginning of a record, or zeros where its pages never came.
    const record = someRecord(readFileSync(last), random);
    const zeros = Buffer.alloc(1 + random.below(8192));
    appendFileSync(
      last,
      random.chance(0.3) ? zeros : record.subarray(0, 1 + random.below(record.length - 1)),
    );
    arena.tally.faults++;
  }
  await arena.settle();
  arena.judgeAll();
});

/** The bytes of a whole record of a segment. */
function someRecord(segment: Buffer, random: Random): Buffer {
  const records: Buffer[] = [];
  for (let at = SEGMENT_HEADER_BYTES; at < segment.length; ) {
    const result = readFrame(segment, at, segment.length);
    if (result.kind !== 'frame') break;
    records.push(segment.subarray(at, result.next));
    at = result.next;
  }
  return random.pick(records);
}

export const DISK: readonly Scenario[] = [
  fullSink,
  readOnlySink,
  fullJournal,
  fullSpool,
  fullEventFiles,
  failingSink,
  failingJournal,
  failingSpool,
  removedRun,
  damagedCursor,
  tornJournal,
];
