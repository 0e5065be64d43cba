import type { Screen } from "./clock.ts";

/** Frames that may be under way unless an option says otherwise. */
const WINDOW = 16;

/**
 * Grants the server frames of updates after the ones before have been painted, so that what a busy page cannot show is
 * merged on the server and not queued here. While nobody looks nothing is granted.
 */
export class Credits {
  private received = 0;
  private granted = 0;
  private open = false;
  private asked = false;

  constructor(
    private readonly grant: (frames: number) => void,
    private readonly screen: Screen,
    private readonly window = WINDOW,
  ) {}

  /** A connection begins. */
  start(): void {
    this.received = this.granted = 0;
    this.open = true;
    if (this.screen.visible()) this.give();
    else this.grant(0);
  }

  /** The connection has ended, or the server does not know credits. False if none were granted. */
  stop(): boolean {
    const granting = this.open;
    this.open = false;
    return granting;
  }

  /** A frame of updates has been taken. */
  frame(): void {
    this.received++;
    if (this.granted - this.received > this.window / 2) return;
    this.paint();
  }

  /** Somebody looks again, perhaps. */
  looked(): void {
    if (this.open && this.screen.visible()) this.paint();
  }

  private paint(): void {
    if (this.asked) return;
    this.asked = true;
    this.screen.painted(() => {
      this.asked = false;
      if (this.open && this.screen.visible()) this.give();
    });
  }

  private give(): void {
    const frames = this.received + this.window;
    if (frames <= this.granted) return;
    this.granted = frames;
    this.grant(frames);
  }
}
