import type { AlertMessage, Severity } from "@weir/live";
import { type FeedEntry, isOpen } from "../data/alerts";
import { formatAge, formatMinute } from "./format";
import { Icon } from "./icons";
import { useModel } from "./model";

/** Shapes differ, so that the severity can be told without colour. */
const SHAPES: Record<Severity, preact.JSX.Element> = {
  critical: <path d="M5 1.5h6L14.5 5v6L11 14.5H5L1.5 11V5z" fill="currentColor" />,
  warning: <path d="M8 1.5 15 14H1z" fill="currentColor" />,
  info: <circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="1.8" />,
};

export function SeverityBadge({ severity }: { severity: AlertMessage["severity"] }) {
  if (!severity || !Object.hasOwn(SHAPES, severity)) return null;
  return (
    <span class={`badge severity-${severity}`} data-testid="severity">
      <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
        {SHAPES[severity]}
      </svg>
      {severity}
    </span>
  );
}

/** Where the alert stands: its phase, who has it, and what keeps it quiet. */
export function PhaseBadges({ entry }: { entry: FeedEntry }) {
  const { silences } = useModel().store;
  const { alert } = entry;
  const open = isOpen(entry);
  const flaps = alert.flaps ?? { count: 0, period_us: 0 };
  return (
    <>
      {alert.phase === "firing" && open && (
        <span class="badge phase-firing">
          <Icon name="warning" />
          firing
        </span>
      )}
      {alert.phase === "flapping" && open && (
        <span class="badge phase-firing" title="The condition comes and goes: one alert stands for all of it">
          <Icon name="flap" />
          flapping
          {/* The count grows between transitions, which alone are told: it is of the newest of them. */}
          {flaps.count > 0 &&
            ` ${flaps.count}× in ${formatAge(flaps.period_us / 1000)}, as of ${formatMinute(alert.ts)}`}
        </span>
      )}
      {open && (alert.acknowledged || alert.phase === "acknowledged") && (
        <span class="badge phase-acknowledged">
          <Icon name="check" />
          acknowledged{alert.acknowledged && ` by ${alert.acknowledged.by}`}
        </span>
      )}
      {!open && (
        <span class="badge phase-resolved">
          <Icon name="check" />
          {entry.endedUnseen ? "ended while disconnected" : "resolved"}
        </span>
      )}
      {open && silences.covers(alert) && (
        <span class="badge phase-quiet">
          <Icon name="mute" />
          silenced
        </span>
      )}
      {open && alert.inhibited_by && (
        <span class="badge phase-quiet" title={`Because of alert ${alert.inhibited_by}`}>
          <Icon name="mute" />
          inhibited
        </span>
      )}
    </>
  );
}
