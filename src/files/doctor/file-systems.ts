import type { Mount } from './mount-table.ts';

/** Served by another machine, the host of a virtual one, or a daemon: inotify(7) hears only of what is done through this mount. */
const remote: ReadonlySet<string> = new Set([
  'fuse',
  'nfs',
  'nfs4',
  'cifs',
  'smb3',
  '9p',
  'virtiofs',
  'vboxsf',
  'prl_fs',
  'ceph',
  'glusterfs',
  'lustre',
  'afs',
]);

/** Whether changes that are made elsewhere go without events on a mount. */
export function isWithoutEvents(mount: Mount): boolean {
  return isRemote(mount.type) || isOverlayOfItsOwn(mount);
}

/** Whether access to a mount can hang for ever, because it waits for a daemon or another machine. */
export function mayNotAnswer({ type }: Mount): boolean {
  return isRemote(type) || type === 'fuseblk' || type === 'autofs';
}

function isRemote(type: string): boolean {
  return remote.has(type) || type.startsWith('fuse.');
}

/**
 * An overlay hears nothing of its lower layers. The root of a container is one, and its image does not change; a directory out of
 * such a root (a container in a container) is written to through the overlay, which is heard.
 */
function isOverlayOfItsOwn({ type, point, root }: Mount): boolean {
  return type === 'overlay' && point !== '/' && root === '/';
}
