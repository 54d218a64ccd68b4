// `kymo import FILE.wandb`: a run of Weights & Biases, from its transaction log, as a run of Kymo.
import {
  type Command,
  EXIT_FAILED,
  EXIT_OK,
  print,
  printError,
  readArguments,
  UsageError,
} from './command.ts';
import { importWandb } from './import-wandb.ts';

export const importWandbCommand: Command = {
  help: `Usage: kymo import FILE.wandb … [--exporter jsonl] [--into DIR]

Reads transaction logs of Weights & Biases (offline-run-…/run-….wandb) back: rows, histograms, configuration, summary, text
and media become runs of Kymo.

  --exporter NAME  What to write them with (default jsonl); tensorboard, for example
  --into DIR       Folder to write to (default: runs)`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      { exporter: { type: 'string', default: 'jsonl' }, into: { type: 'string', default: 'runs' } },
      Number.MAX_SAFE_INTEGER,
    );
    if (positionals.length === 0) throw new UsageError('a .wandb file is needed');
    let whole = true;
    for (const file of positionals) {
      const { id, rows, media, leftOut, isWhole } = await importWandb(file, values.exporter, values.into);
      print(`${id}: ${rows} rows and ${media} media, written to ${values.into}`);
      if (leftOut > 0) printError(`${id}: ${leftOut} values that Kymo has no place for are left out`);
      if (!isWhole) printError(`${file}: has damaged places or no end; what could be read is there`);
      whole &&= isWhole;
    }
    return whole ? EXIT_OK : EXIT_FAILED;
  },
};
