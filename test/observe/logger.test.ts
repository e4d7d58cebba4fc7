import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { createLogger, type LogLevel, logLevels } from '../../src/observe/index.ts';
import { TurnBatch } from '../../src/observe/turn-batch.ts';

function record(level: LogLevel) {
  const lines: string[] = [];
  const logger = createLogger({ level, format: 'json' }, { write: (line) => void lines.push(line) });
  return { logger, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test('a line is one JSON object with time, level by name, fields and message', () => {
  const { logger, lines, parsed } = record('info');
  logger.info({ event: 'rotation', certificate: 'a\nb' }, 'two\nlines');
  assert.match(lines[0] ?? '', /^[^\n]*\n$/);
  const [{ time, ...rest } = {}] = parsed();
  assert.deepEqual(rest, { level: 'info', event: 'rotation', certificate: 'a\nb', msg: 'two\nlines' });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('a level lets through itself and what is worse; silent lets nothing', () => {
  const named = logLevels.filter((level) => level !== 'silent');
  for (const level of logLevels) {
    const { logger, parsed } = record(level);
    for (const each of named) logger[each]('hello');
    const expected = level === 'silent' ? [] : named.slice(named.indexOf(level));
    assert.deepEqual(
      parsed().map((line) => line['level']),
      expected,
      level,
    );
  }
});

test('a key or a passphrase that is handed to the logger by mistake does not come out', () => {
  const { logger, lines } = record('trace');
  const secret = 'hunter2';
  for (const name of ['key', 'keyPem', 'passphrase', 'ticketKeys']) logger.info({ [name]: secret, kept: 'yes' }, 'top');
  for (const name of ['key', 'keyPem', 'passphrase']) logger.error({ identity: { [name]: secret, kept: 'yes' } }, 'in');
  logger.child({ passphrase: secret, kept: 'yes' }).info('child');
  assert.equal(lines.length, 8);
  for (const line of lines) {
    assert.doesNotMatch(line, /hunter2/);
    assert.match(line, /\[secret\].*"kept":"yes"/);
  }
});

test('fields of the process are in every line, and keep no secret either', () => {
  const lines: string[] = [];
  const to = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({ level: 'info', format: 'json' }, to, { worker: 3, passphrase: 'hunter2' });
  logger.info('one');
  logger.child({ event: 'x' }).info('two');
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const line of parsed) assert.deepEqual([line['worker'], line['passphrase']], [3, '[secret]']);
  assert.equal(parsed.length, 2);
});

test('JSON where there is no terminal, a readable form on demand', () => {
  const index = JSON.stringify(new URL('../../src/observe/index.ts', import.meta.url).href);
  const print = (format: string) => {
    const code = `const { createLogger } = await import(${index});
      createLogger({ level: 'info', format: '${format}' }).info({ event: 'x', passphrase: 'hunter2' }, 'hello');`;
    const args = ['--input-type=module', '--eval', code];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 });
    assert.equal(stderr, '');
    assert.doesNotMatch(stdout, /hunter2/);
    return stdout;
  };
  for (const format of ['auto', 'json']) {
    const { msg, event } = JSON.parse(print(format)) as Record<string, unknown>;
    assert.deepEqual([msg, event], ['hello', 'x']);
  }
  const pretty = print('pretty');
  assert.match(pretty, /INFO.*hello/);
  assert.throws(() => JSON.parse(pretty));
});

test('the lines of one turn of the event loop are written together, a warning at once with all before it', async () => {
  const written: string[] = [];
  const batch = new TurnBatch({ write: (lines) => void written.push(lines) });
  const logger = pino({ base: null, timestamp: false }, batch);
  logger.info('one');
  logger.info('two');
  assert.deepEqual(written, []);
  logger.warn('three');
  const lines = (text: string) => text.match(/"msg":"(\w+)"/g)?.map((part) => part.slice(7, -1));
  assert.deepEqual(written.map(lines), [['one', 'two', 'three']]);
  logger.info('four');
  logger.info('five');
  await nextTurn();
  await nextTurn();
  assert.deepEqual(written.map(lines).slice(1), [['four', 'five']]);
});

test('what was logged right before the process ends comes out', () => {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('../../src/observe/index.ts', import.meta.url).href)};
    createLogger({ level: 'info', format: 'json' }).info('last words');
    process.exit(0);`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
  assert.match(stdout, /last words/);
});
