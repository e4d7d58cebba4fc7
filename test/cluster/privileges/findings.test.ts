import assert from 'node:assert/strict';
import { test } from 'node:test';
import { privilegeFindings } from '../../../src/cluster/privileges/index.ts';

test('serving as root is a warning and a condition', () => {
  const { findings, condition } = privilegeFindings({ uid: 0, gid: 0, dropsTo: null });
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [['SERVING_AS_ROOT', 'warning']],
  );
  assert.deepEqual([condition.status, condition.reason], [false, 'ServingAsRoot']);
});

test('serving as anyone else is said in a condition only', () => {
  const dropsTo = { user: 'swivel', uid: 1000, gid: 1001 };
  const dropped = privilegeFindings({ uid: 0, gid: 0, dropsTo, user: 'swivel' });
  assert.deepEqual(dropped, {
    findings: [],
    condition: { status: true, reason: 'Dropped', message: 'workers run as swivel (1000:1001)' },
  });
  const other = privilegeFindings({ uid: 1000, gid: 1001, dropsTo: null });
  assert.deepEqual(other, {
    findings: [],
    condition: { status: true, reason: 'NotRoot', message: 'connections are served as 1000:1001' },
  });
  const ignored = privilegeFindings({ uid: 1000, gid: 1001, dropsTo: null, user: 'www' });
  assert.match(ignored.condition.message, /process\.user \(www\) has no effect, as only root can change the user/);
  const nowhere = privilegeFindings({ uid: undefined, gid: undefined, dropsTo: null });
  assert.deepEqual([nowhere.findings, nowhere.condition.status], [[], true]);
});
