// Rollouts: what a policy said to a prompt, and what that was worth, beside the metrics of the step that it trained.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'rollouts', config: { model: 'tiny', group: 4 } });

/** A policy that gets better: at first it adds wrong by up to 3. */
const answer = (a: number, b: number, step: number) => a + b + Math.max(0, 3 - Math.floor(step / 5));

for (let step = 0; step < 20; step++) {
  let correct = 0;
  for (let member = 0; member < 4; member++) {
    const given = answer(step, member, step);
    const right = given === step + member;
    if (right) correct++;
    // At the step under way; a rollout does not count as a row.
    run.logRollout({
      prompt: `What is ${step} + ${member}?`,
      messages: [
        { role: 'assistant', content: `Let me see: ${step} + ${member} = ${given}.` },
        { role: 'user', content: 'Are you sure?' },
        { role: 'assistant', content: right ? 'Yes.' : 'I have my doubts.' },
      ],
      rewards: { correct: right, honest: right ? 1 : 0.5 },
    });
  }
  run.log({ loss: 1 - correct / 4, kl: 0.01 * step });
}
// Evaluation has its own mode, and rewards may come as a list.
run.logRollout({
  prompt: [
    { role: 'system', content: 'Answer with a number.' },
    { role: 'user', content: 'What is 2 + 2?' },
  ],
  messages: [{ role: 'assistant', content: '4' }],
  rewards: [{ name: 'correct', value: 1 }],
  mode: 'eval',
});

await run.finish();
console.log(`see ${run.dir}/logs/rollouts.jsonl`);
