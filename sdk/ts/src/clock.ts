export interface Clock {
  /** Monotonic ms. */
  now(): number;
  /** Run once after ms; the function returned takes that back. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
};

/** What is known of the screen that the data ends on. */
export interface Screen {
  /** Run when the next picture has been drawn; while nobody looks, not at all. */
  painted(run: () => void): void;
  visible(): boolean;
  /** Call changed when somebody begins or ends to look; the function returned ends that. */
  watch(changed: () => void): () => void;
}

/** The page's screen; a process or worker without one counts as always looked at. */
export function systemScreen(clock: Clock): Screen {
  const page = typeof document === "undefined" ? undefined : document;
  const frame = typeof requestAnimationFrame === "undefined" ? undefined : requestAnimationFrame;
  return {
    painted: frame ? (run) => void frame(run) : (run) => void clock.after(0, run),
    visible: () => page?.visibilityState !== "hidden",
    watch(changed) {
      page?.addEventListener("visibilitychange", changed);
      return () => page?.removeEventListener("visibilitychange", changed);
    },
  };
}
