interface Patch<V> {
  apply(value: V): V;
  /** Version that holds the change; Infinity while the server has not told. */
  version: number;
}

/**
 * Values with versions, and changes of them that the server has not confirmed yet: get shows them applied. A change goes
 * when a value of its version or a later one arrives, or, if the server refuses it, at once.
 */
export class Optimistic<V> {
  private readonly base = new Map<string, V>();
  private readonly patches = new Map<string, Patch<V>[]>();

  constructor(
    private readonly versionOf: (value: V) => number,
    private readonly changed: (key: string) => void = () => {},
  ) {}

  get(key: string): V | undefined {
    const value = this.base.get(key);
    if (value === undefined) return undefined;
    return (this.patches.get(key) ?? []).reduce<V>((v, patch) => patch.apply(v), value);
  }

  /** As the server told it last. */
  confirmed(key: string): V | undefined {
    return this.base.get(key);
  }

  pending(key: string): boolean {
    return this.patches.has(key);
  }

  keys(): IterableIterator<string> {
    return this.base.keys();
  }

  /** Take a value from the server; false if it is not newer than the one there is. */
  set(key: string, value: V): boolean {
    const known = this.base.get(key);
    const version = this.versionOf(value);
    if (known !== undefined && this.versionOf(known) >= version) return false;
    this.base.set(key, value);
    this.keepPatches(key, (patch) => patch.version > version);
    this.changed(key);
    return true;
  }

  delete(key: string): void {
    this.patches.delete(key);
    if (this.base.delete(key)) this.changed(key);
  }

  clear(): void {
    this.base.clear();
    this.patches.clear();
  }

  /** Show a change until done tells its version and that arrives; if done fails, take it back. Settles as done does. */
  async patch(key: string, apply: (value: V) => V, done: Promise<number>): Promise<number> {
    const patch: Patch<V> = { apply, version: Number.POSITIVE_INFINITY };
    this.patches.set(key, [...(this.patches.get(key) ?? []), patch]);
    this.changed(key);
    try {
      patch.version = await done;
      const base = this.base.get(key);
      const here = base === undefined ? Number.POSITIVE_INFINITY : this.versionOf(base);
      if (here >= patch.version) this.drop(key, patch);
      return patch.version;
    } catch (error) {
      this.drop(key, patch);
      throw error;
    }
  }

  private drop(key: string, patch: Patch<V>): void {
    this.keepPatches(key, (p) => p !== patch);
    this.changed(key);
  }

  private keepPatches(key: string, keep: (patch: Patch<V>) => boolean): void {
    const left = (this.patches.get(key) ?? []).filter(keep);
    if (left.length > 0) this.patches.set(key, left);
    else this.patches.delete(key);
  }
}
