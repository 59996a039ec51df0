import { expect, test, vi } from 'vitest';

vi.stubGlobal('window', { addEventListener: () => {} });
const { match } = await import('./router');

test('a path is of a pattern or not', () => {
  expect(match('/', '/')).toEqual({});
  expect(match('/deliveries', '/deliveries/')).toEqual({});
  expect(match('/deliveries/:id', '/deliveries/dlv_1')).toEqual({ id: 'dlv_1' });
  expect(match('/endpoints/:id/edit', '/endpoints/17/edit')).toEqual({ id: '17' });
  expect(match('/events/:id', '/events/a%20b')).toEqual({ id: 'a b' });
  for (const path of ['/deliveries', '/deliveries/a/b', '/deliveries/%zz', '/elsewhere/1']) {
    expect(match('/deliveries/:id', path), path).toBeNull();
  }
});
