import type { Clock } from "./clock.ts";

/** What was waited for did not come in time. */
export class WaitTimeout extends Error {
  override readonly name = "WaitTimeout";
}

interface Waiter {
  readonly version: number;
  done(version: number): void;
}

/** Promises of versions by name (of a series, a room, an alert). */
export class Waiters {
  private readonly byName = new Map<string, Set<Waiter>>();

  constructor(private readonly clock: Clock) {}

  /** Resolves with the first version seen at or above the wanted one; rejects with WaitTimeout after ms. */
  wait(name: string, version: number, ms: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const all = this.byName.get(name) ?? new Set();
      this.byName.set(name, all);
      const end = () => {
        cancel();
        all.delete(waiter);
        if (all.size === 0 && this.byName.get(name) === all) this.byName.delete(name);
      };
      const waiter: Waiter = {
        version,
        done(seen) {
          end();
          resolve(seen);
        },
      };
      const cancel = this.clock.after(ms, () => {
        end();
        reject(new WaitTimeout(`${name} has not reached version ${version} within ${ms} ms`));
      });
      all.add(waiter);
    });
  }

  saw(name: string, version: number): void {
    if (this.byName.size === 0) return;
    for (const waiter of this.byName.get(name) ?? []) if (version >= waiter.version) waiter.done(version);
  }
}
