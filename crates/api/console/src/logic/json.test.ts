import { expect, test } from 'vitest';
import { jsonObjectFault, pretty, prettyText, rawMember } from './json';

test('a member is taken out of the text byte for byte', () => {
  const payload = '{ "id":12345678901234567890,"x":1e400,"x":[1,"}]\\"",{}],"data":{"payload":false} }';
  const text = `{"data": {"id":"dlv_1","note":"\\"payload\\": {", "payload":${payload},"attempts":[]},"meta":{}}`;
  expect(rawMember(text, ['data', 'payload'])).toBe(payload);
  expect(rawMember(text, ['data', 'id'])).toBe('"dlv_1"');
  expect(rawMember(text, ['data', 'none'])).toBeNull();
  expect(rawMember(text, ['meta'])).toBe('{}');
  expect(rawMember('[]', ['data'])).toBeNull();
  expect(rawMember('{"data":null}', ['data'])).toBe('null');
  expect(rawMember('{"data":null}', ['data', 'payload'])).toBeNull();
});

test('what is laid out says the same', () => {
  for (const text of ['{}', '[]', '{"a":[],"b":{}}', '{"a":{"b":[1,-2.50,1e400,true,null]},"a":"x\\u0000\\"{"}', '"text"', '1.0', '[ 1 , 2 ]']) {
    const laidOut = prettyText(text);
    expect(laidOut.replaceAll(/\s/g, ''), text).toBe(text.replaceAll(/\s/g, ''));
    expect(prettyText(laidOut), text).toBe(laidOut);
  }
  expect(prettyText('{"a":[1,{"b":2}],"c":{}}')).toBe('{\n  "a": [\n    1,\n    {\n      "b": 2\n    }\n  ],\n  "c": {}\n}');
});

test('names, text, numbers and words are told apart', () => {
  const kinds = pretty('{"a":"b","c":[1,true,null]}').filter((token) => token.kind !== 'plain');
  expect(kinds.map((token) => `${token.kind} ${token.text}`)).toEqual(['name "a"', 'string "b"', 'name "c"', 'number 1', 'word true', 'word null']);
});

test('a fault of JSON says where it is', () => {
  expect(jsonObjectFault('{"a": 1e400}')).toBeNull();
  expect(jsonObjectFault('[1]')).toContain('begins with {');
  expect(jsonObjectFault('null')).toContain('begins with {');
  expect(jsonObjectFault('')).toContain('such as {}');
  expect(jsonObjectFault('{\n  "a": 1,\n  b: 2\n}')).toContain('line 3, column 3');
  expect(jsonObjectFault('{"a":')).not.toBeNull();
});
