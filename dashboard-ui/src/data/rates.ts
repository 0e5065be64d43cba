/** Sums over the last seconds, in slots of one second: what the header calls rows/s and readings/s. */
export class RateMeter {
  private readonly slots: Float64Array;
  private readonly stamps: Float64Array;
  private readonly started: number;

  constructor(
    now: number,
    private readonly seconds = 5,
  ) {
    this.slots = new Float64Array(seconds + 1);
    this.stamps = new Float64Array(seconds + 1).fill(-1);
    this.started = Math.floor(now / 1000);
  }

  add(amount: number, now: number): void {
    const second = Math.floor(now / 1000);
    const k = second % this.slots.length;
    if (this.stamps[k] !== second) {
      this.stamps[k] = second;
      this.slots[k] = 0;
    }
    this.slots[k] = (this.slots[k] ?? 0) + amount;
  }

  /** Mean per second over the last whole seconds; the running one is left out. */
  perSecond(now: number): number {
    const second = Math.floor(now / 1000);
    let sum = 0;
    for (let k = 0; k < this.slots.length; k++) {
      const age = second - (this.stamps[k] ?? -1);
      if (age >= 1 && age <= this.seconds) sum += this.slots[k] ?? 0;
    }
    const whole = Math.min(this.seconds, second - this.started);
    return whole > 0 ? sum / whole : 0;
  }
}
