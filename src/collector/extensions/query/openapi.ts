// The OpenAPI description, made of the routes that requests are answered by.
import { packageVersion } from '../../../semconv/version.ts';
import { ROUTES, type Route } from './routes.ts';
import { schemas } from './schemas.ts';

export function openApiDocument(): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Kymo query API',
      version: packageVersion(),
      description:
        'Runs and their curves, logs, spans and media, read from the files that the collector writes.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths: Object.fromEntries(ROUTES.map(route => [route.path, { get: operationOf(route) }])),
    components: { schemas: { Error: schemas.error } },
  };
}

function operationOf({ operation, summary, parameters, answer, also = [] }: Route): object {
  const content = Object.fromEntries([
    ...(answer === undefined ? [] : [['application/json', { schema: answer }]]),
    ...also.map(type => [type, {}]),
  ]);
  const failure = (description: string): object => ({
    description,
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
  });
  return {
    operationId: operation,
    summary,
    parameters: parameters.map(({ name, in: place, description, required, schema, verbatim }) => ({
      name,
      in: place,
      description,
      required: required ?? false,
      schema,
      ...(schema.type === 'array' ? { style: 'form', explode: verbatim === true } : {}),
    })),
    responses: {
      '200': { description: 'OK', content },
      '400': failure('A parameter is wrong; the answer names it.'),
      '401': failure('Credentials are missing or wrong.'),
      '404': failure('There is no such run, medium or path.'),
      '503': failure('Too many queries at once; come again.'),
    },
  };
}
