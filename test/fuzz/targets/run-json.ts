// What is read back from files of a run is written again as it was.
import { parseJson, valueJson } from '../../../src/collector/runs/json.ts';
import { law, type Target } from '../target.ts';

export const target: Target = {
  name: 'run-json',
  maxBytes: 1_024,
  covers: /\/src\/(collector\/runs|otlp)\//,
  words: [
    '"NaN"',
    '-0',
    '1e400',
    '9007199254740993',
    '"\\u2028"',
    '__proto__',
    '"base64":',
    '[[',
    '{"":',
    '1E5',
    '\\ud800',
  ],
  seeds: () => [
    Buffer.from(
      '{"step":7,"loss":0.25,"big":9007199254740993,"nan":"NaN","list":[true,null,{"__proto__":1}],"b":{"base64":"AA=="}}',
    ),
    Buffer.from('[-0,1e5,-12345678901234567890,"\\u001b\\ud83d\\ude00"]'),
  ],
  run(bytes) {
    const text = new TextDecoder().decode(bytes);
    let value: ReturnType<typeof parseJson>;
    try {
      value = parseJson(text);
    } catch (error) {
      // Deep nesting ends in V8's own limit, with an error and not with the process.
      law(error instanceof SyntaxError || error instanceof RangeError, String(error));
      return;
    }
    const once = valueJson(value);
    law(!once.includes('\n'), 'more than a line');
    const twice = valueJson(parseJson(once));
    law(once === twice, `${once} became ${twice}`);
    law(Object.getPrototypeOf({}) === Object.prototype && !('polluted' in {}), 'a prototype was changed');
  },
};
