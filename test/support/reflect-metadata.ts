/**
 * The three metadata functions of `Reflect` that `@peculiar/x509` insists on when it is loaded (through tsyringe).
 * Import this before it. A stand-in of a few lines saves a dependency that only tests would need.
 */

type MetadataReflect = typeof Reflect & {
  defineMetadata?: (key: unknown, value: unknown, target: object) => void;
  getOwnMetadata?: (key: unknown, target: object) => unknown;
  getMetadata?: (key: unknown, target: object) => unknown;
};

const metadata = new WeakMap<object, Map<unknown, unknown>>();
const reflect: MetadataReflect = Reflect;

reflect.defineMetadata ??= (key, value, target) => {
  const own = metadata.get(target) ?? new Map<unknown, unknown>();
  metadata.set(target, own.set(key, value));
};
reflect.getOwnMetadata ??= (key, target) => metadata.get(target)?.get(key);
reflect.getMetadata ??= (key, target) => {
  for (let object: object | null = target; object; object = Object.getPrototypeOf(object)) {
    const value = metadata.get(object)?.get(key);
    if (value !== undefined) return value;
  }
  return undefined;
};
