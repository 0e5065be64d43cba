// What the README's examples take from the page around them.
interface Gauge {
  show(last: number, min: number, max: number): void;
  dim(): void;
  destroy(): void;
}
declare const gauges: { of(series: string, unit: string | undefined): Gauge };
declare const live: import("@weir/live").LiveClient;
declare function draw(...point: (number | undefined)[]): void;
