import { type FeedEntry, isOpen } from "../data/alerts";
import { PhaseBadges, SeverityBadge } from "./alert-badges";
import { formatAge, formatBand, formatLimit, formatTime, formatValue } from "./format";
import { SeriesLink, ViewLink } from "./link";
import { useModel } from "./model";
import { SilenceList, SilenceNote } from "./silences";

const SHOWN = 50;

/** Alerts, newest first, with what was seen and what was expected. */
export function Feed() {
  const model = useModel();
  model.slowTick.value;
  const { alerts } = model.store;
  const { series, alert: chosen } = model.view.value;
  const all = alerts.list();
  const entries = series ? all.filter((e) => e.alert.series === series) : all;
  const open = entries.filter(isOpen).length;
  const pressing = entries.filter((e) => alerts.isPressing(e)).length;
  return (
    <section class="feed" aria-label="Alerts" id="alerts">
      <div class="section-head">
        <h2>Alerts</h2>
        <span class={`count ${pressing > 0 ? "state-alert" : ""}`} data-testid="firing">
          {pressing} firing
        </span>
        {open > pressing && (
          <span class="count" title="Acknowledged, silenced or inhibited">
            {open - pressing} in hand
          </span>
        )}
      </div>
      <div class="card feed-list" role="log" aria-relevant="additions" data-testid="feed">
        <ol>
          {entries.slice(0, SHOWN).map((entry) => (
            <Entry
              key={entry.alert.id}
              entry={entry}
              now={model.store.now()}
              chosen={entry.alert.id === chosen}
            />
          ))}
          {entries.length === 0 && (
            <li class="blank">
              {series ? "No alert of this series since the page was opened." : "Nothing has raised an alert."}
            </li>
          )}
          {entries.length > SHOWN && <li class="blank">{entries.length - SHOWN} older ones are not shown</li>}
        </ol>
      </div>
      <SilenceList />
    </section>
  );
}

function Entry({ entry, now, chosen }: { entry: FeedEntry; now: number; chosen: boolean }) {
  const { alerts, silences } = useModel().store;
  const { alert } = entry;
  const open = isOpen(entry);
  const look = alerts.isPressing(entry) ? "is-alert" : open ? "is-in-hand" : "is-over";
  return (
    <li
      class={`entry ${look} ${chosen ? "is-chosen" : ""}`}
      data-testid="alert"
      data-phase={alert.phase}
      data-alert={alert.id}
    >
      <div class="entry-head">
        <span class="badges">
          <SeverityBadge severity={alert.severity} />
          <PhaseBadges entry={entry} />
        </span>
        <time dateTime={new Date(alert.ts / 1000).toISOString()} title={formatTime(alert.ts)}>
          {ago(alert.ts, now)}
        </time>
      </div>
      <SeriesLink name={alert.series} class="entry-series">
        {alert.series}
      </SeriesLink>
      <p class="entry-summary">{alert.summary}</p>
      <dl class="evidence">
        <Seen name="value" value={alert.value} />
        {(alert.lo !== null || alert.hi !== null) && (
          <div>
            <dt>expected</dt>
            <dd>{formatBand(alert.lo, alert.hi)}</dd>
          </div>
        )}
        {alert.lo === null && alert.hi === null && (
          <Seen name="limit" value={alert.limit} format={(v) => formatLimit(alert.detector, v)} />
        )}
        <Seen name="score" value={alert.score} format={(v) => v.toFixed(2)} />
        <div>
          <dt>{open ? "for" : "lasted"}</dt>
          <dd>{formatAge(Math.max(0, (open ? now : alert.ts / 1000) - alert.started_ts / 1000))}</dd>
        </div>
      </dl>
      {open && <SilenceNote of={silences.ofAlert(alert)} />}
      <p class="entry-foot">
        {alert.assignee && <span class="muted">assigned to {alert.assignee}</span>}
        <ViewLink
          to={{ alert: alert.id }}
          class="link"
          aria-label={`Details of the alert of ${alert.series}`}
          aria-current={chosen ? "true" : undefined}
          data-testid="alert-open"
        >
          Details
        </ViewLink>
      </p>
    </li>
  );
}

interface SeenProps {
  readonly name: string;
  readonly value: number | null | undefined;
  readonly format?: (value: number) => string;
}

function Seen({ name, value, format = formatValue }: SeenProps) {
  if (value === null || value === undefined || !Number.isFinite(value)) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{format(value)}</dd>
    </div>
  );
}

/** Relative while it is recent; the date otherwise (a replayed recording may lie years back). */
function ago(us: number, now: number): string {
  const age = now - us / 1000;
  if (age < 1000) return "now";
  return age < 86_400_000 ? `${formatAge(age)} ago` : formatTime(us, now);
}
