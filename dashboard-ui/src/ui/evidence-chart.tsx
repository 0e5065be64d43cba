import type { AlertMessage } from "@weir/live";
import { type Picture, picture } from "../data/evidence";
import { formatBand, formatTime, formatValue } from "./format";

/** Sizes of the drawing, in its own units; it is stretched to its place. */
const W = 600;
const H = 180;

/** The samples around the transition, with the expected band and the limit: a picture of the past, so it stands still. */
export function EvidenceChart({ alert }: { alert: AlertMessage }) {
  const p = picture(alert);
  if (!p) return <p class="blank evidence-none">There are no samples of that time.</p>;
  return (
    <figure class="evidence-chart" data-testid="evidence-chart">
      <div class="evidence-values" aria-hidden="true">
        <span>{formatValue(p.high)}</span>
        <span>{formatValue(p.low)}</span>
      </div>
      <svg viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" role="img" aria-label={describe(alert, p)}>
        {p.band && (
          <rect
            class="band"
            x="0"
            width={W}
            y={p.band.top * H}
            height={Math.max(0, p.band.bottom - p.band.top) * H}
          />
        )}
        {p.limit !== null && <line class="limit" x1="0" x2={W} y1={p.limit * H} y2={p.limit * H} />}
        <polyline class="line" points={p.points.map(({ x, y }) => `${x * W},${y * H}`).join(" ")} />
        {/* Lines without length are dots whose size is not stretched. */}
        {p.points.map(({ x, y, ts }) => (
          <line
            key={ts}
            class={ts === alert.ts ? "dot now" : "dot"}
            x1={x * W}
            x2={x * W}
            y1={y * H}
            y2={y * H}
          />
        ))}
      </svg>
      <div class="evidence-times" aria-hidden="true">
        <span>{formatTime(p.from)}</span>
        {p.to > p.from && <span>{formatTime(p.to)}</span>}
      </div>
      <figcaption>
        <ul class="legend evidence-legend">
          <li class="swatch-line">readings</li>
          {p.band && <li class="swatch-band">expected</li>}
          {p.limit !== null && <li class="swatch-limit">limit</li>}
        </ul>
      </figcaption>
    </figure>
  );
}

function describe(alert: AlertMessage, p: Picture): string {
  const values = p.points.map((one) => one.value);
  const parts = [
    p.to > p.from
      ? `${values.length} readings from ${formatTime(p.from)} to ${formatTime(p.to)}`
      : `${values.length === 1 ? "One reading" : `${values.length} readings`} at ${formatTime(p.from)}`,
    `between ${formatValue(Math.min(...values))} and ${formatValue(Math.max(...values))}`,
  ];
  if (p.band) parts.push(`expected ${formatBand(alert.lo, alert.hi).replace("…", "to")}`);
  if (p.limit !== null) parts.push(`limit ${formatValue(alert.limit ?? Number.NaN)}`);
  return parts.join(", ");
}
