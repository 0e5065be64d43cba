/** Listeners by type. One that throws is reported and keeps nobody else from being told. */
export class Emitter<Events> {
  private readonly listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Call listener for each event of the type, until the function that is returned is called. */
  on<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): () => void {
    let all = this.listeners.get(type);
    if (!all) {
      all = new Set();
      this.listeners.set(type, all);
    }
    all.add(listener);
    return () => void all.delete(listener);
  }

  protected emit<K extends keyof Events>(type: K, event: Events[K]): void {
    for (const listener of this.listeners.get(type) ?? []) guard(() => listener(event as never));
  }
}

/** Run what is not ours: what it throws goes to the environment's handler, not through ours. */
export function guard(run: () => void): void {
  try {
    run();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
