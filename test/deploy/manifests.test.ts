// What deploy/ ships is what Kymo accepts: the collector configurations inside manifests, and scripts that a shell can read.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { COMPONENTS } from '../../src/collector/components.ts';
import { loadConfig } from '../../src/collector/config/load.ts';
import { formatProblem } from '../../src/collector/config/problem.ts';

const read = (file: string): string => readFileSync(`deploy/${file}`, 'utf8');

function documents(file: string): Record<string, never>[] {
  return parseAllDocuments(read(file)).map(document => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Record<string, never>;
  });
}

const configurations: Readonly<Record<string, () => string>> = {
  'docker/config.yaml': () => read('docker/config.yaml'),
  'k8s/collector.yaml': () => {
    const map = documents('k8s/collector.yaml').find(one => one.kind === 'ConfigMap') as unknown as {
      data: Record<string, string>;
    };
    return map.data['config.yaml']!;
  },
  'k8s/helm-values.yaml': () => {
    const { alternateConfig } = parse(read('k8s/helm-values.yaml')) as { alternateConfig: object };
    return stringify(alternateConfig);
  },
  'k8s/operator.yaml': () => {
    const { spec } = parse(read('k8s/operator.yaml')) as { spec: { config: object } };
    return stringify(spec.config);
  },
};

describe('the configuration in deploy/', () => {
  it.each(Object.keys(configurations))('%s is valid', file => {
    const { problems, warnings } = loadConfig({
      sources: [`yaml:${configurations[file]!()}`],
      env: { MY_POD_IP: '10.0.0.1' },
      components: COMPONENTS,
    });
    expect([...problems, ...warnings].map(formatProblem)).toEqual([]);
  });
});

it('the ports that Kubernetes asks are those that the collector listens on', () => {
  const [map, service, set] = documents('k8s/collector.yaml') as unknown as [
    { data: Record<string, string> },
    { spec: { ports: { targetPort: string }[] } },
    {
      spec: {
        template: {
          spec: {
            containers: {
              ports: { name: string; containerPort: number }[];
              readinessProbe: { httpGet: { port: string } };
            }[];
          };
        };
      };
    },
  ];
  const config = map.data['config.yaml']!;
  const container = set.spec.template.spec.containers[0]!;
  for (const { containerPort } of container.ports) expect(config).toContain(`0.0.0.0:${containerPort}`);
  const names = container.ports.map(port => port.name);
  for (const { targetPort } of service.spec.ports) expect(names).toContain(targetPort);
  expect(names).toContain(container.readinessProbe.httpGet.port);
});

it.each(['slurm/train.sbatch', 'slurm/collector.sbatch'])('%s is a shell script', file => {
  execFileSync('sh', ['-n', `deploy/${file}`]);
});

it('the job script names one run for all tasks of a job, and another for each task of an array', () => {
  const id = (env: Record<string, string>): string =>
    spawnSync(
      'sh',
      [
        '-c',
        `srun() { echo "$KYMO_RUN_ID"; }; set -- x; ${read('slurm/train.sbatch').replace('exec srun', 'srun')}`,
      ],
      {
        encoding: 'utf8',
        env: { PATH: process.env.PATH!, ...env },
      },
    ).stdout.trim();
  expect(id({ SLURM_JOB_NAME: 'ppo', SLURM_JOB_ID: '17' })).toBe('ppo-17');
  expect(
    id({ SLURM_JOB_NAME: 'ppo', SLURM_JOB_ID: '19', SLURM_ARRAY_JOB_ID: '17', SLURM_ARRAY_TASK_ID: '2' }),
  ).toBe('ppo-17-2');
});
