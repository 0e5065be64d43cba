import { useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Chart, type ChartOptions } from "../chart/chart";
import type { Series } from "../data/series";
import { useModel } from "./model";

interface Props {
  readonly series: Series;
  readonly kind: ChartOptions["kind"];
  readonly label: string;
  readonly onCursor?: ChartOptions["onCursor"];
}

/** The place of a chart in the tree: makes the island, hands it choices, destroys it. */
export function ChartHost({ series, kind, label, onCursor }: Props) {
  const model = useModel();
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  useEffect(() => {
    if (!host.current) return;
    const made = new Chart(host.current, {
      series,
      kind,
      loop: model.loop,
      palette: model.palette.peek(),
      window: model.view.peek().window * 1000,
      // A device's clock may run ahead of the server's a little.
      now: () => Math.max(model.store.now(), series.history.newestTime),
      ...(onCursor ? { onCursor } : {}),
    });
    chart.current = made;
    const { at, series: focused } = model.view.peek();
    if (at > 0 && focused === series.name) made.setMark(at / 1000);
    return () => {
      chart.current = null;
      made.destroy();
    };
  }, [series, kind, model, onCursor]);
  useSignalEffect(() => chart.current?.setWindow(model.view.value.window * 1000));
  useSignalEffect(() => {
    const { at, series: focused } = model.view.value;
    chart.current?.setMark(at > 0 && focused === series.name ? at / 1000 : Number.NaN);
  });
  useSignalEffect(() => chart.current?.setPalette(model.palette.value));
  return <div class={`chart chart-${kind}`} ref={host} role="img" aria-label={label} />;
}
