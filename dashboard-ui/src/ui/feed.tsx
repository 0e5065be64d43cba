import { type FeedEntry, isOpen } from "../data/alerts";
import { formatAge, formatTime, formatValue } from "./format";
import { Icon, StateIcon } from "./icons";
import { SeriesLink } from "./link";
import { useModel } from "./model";

const SHOWN = 50;

/** Alerts, newest first, with what was seen and what was expected. */
export function Feed() {
  const model = useModel();
  model.slowTick.value;
  const { alerts } = model.store;
  const { series } = model.view.value;
  const all = alerts.list();
  const entries = series ? all.filter((e) => e.alert.series === series) : all;
  const firing = entries.filter(isOpen).length;
  return (
    <section class="feed" aria-label="Alerts" id="alerts">
      <div class="section-head">
        <h2>Alerts</h2>
        <span class={`count ${firing > 0 ? "state-alert" : ""}`} data-testid="firing">
          {firing} firing
        </span>
      </div>
      <div class="card feed-list" role="log" aria-relevant="additions" data-testid="feed">
        <ol>
          {entries.slice(0, SHOWN).map((entry) => (
            <Entry key={entry.alert.id} entry={entry} now={model.store.now()} />
          ))}
          {entries.length === 0 && (
            <li class="blank">
              {series ? "No alert of this series since the page was opened." : "Nothing has raised an alert."}
            </li>
          )}
          {entries.length > SHOWN && <li class="blank">{entries.length - SHOWN} older ones are not shown</li>}
        </ol>
      </div>
    </section>
  );
}

function Entry({ entry, now }: { entry: FeedEntry; now: number }) {
  const { alert } = entry;
  const open = isOpen(entry);
  return (
    <li class={`entry ${open ? "is-alert" : "is-over"}`} data-testid="alert" data-phase={alert.phase}>
      <div class="entry-head">
        {open ? (
          <span class="state-label state-alert">
            <StateIcon state="alert" />
            firing
          </span>
        ) : (
          <span class="state-label state-ok">
            <Icon name="check" />
            {entry.endedUnseen ? "ended while disconnected" : "resolved"}
          </span>
        )}
        <time dateTime={new Date(alert.ts / 1000).toISOString()} title={formatTime(alert.ts)}>
          {ago(alert.ts, now)}
        </time>
      </div>
      <SeriesLink name={alert.series} class="entry-series">
        {alert.series}
      </SeriesLink>
      <p class="entry-summary">{alert.summary}</p>
      <dl class="evidence">
        <div>
          <dt>value</dt>
          <dd>{formatValue(alert.value ?? Number.NaN)}</dd>
        </div>
        <div>
          <dt>expected</dt>
          <dd>
            {formatValue(alert.lo ?? Number.NaN)} … {formatValue(alert.hi ?? Number.NaN)}
          </dd>
        </div>
        <div>
          <dt>score</dt>
          <dd>{(alert.score ?? 0).toFixed(2)}</dd>
        </div>
        <div>
          <dt>{open ? "for" : "lasted"}</dt>
          <dd>{formatAge(Math.max(0, (open ? now : alert.ts / 1000) - alert.started_ts / 1000))}</dd>
        </div>
      </dl>
    </li>
  );
}

/** Relative while it is recent; the date otherwise (a replayed recording may lie years back). */
function ago(us: number, now: number): string {
  const age = now - us / 1000;
  if (age < 1000) return "now";
  return age < 86_400_000 ? `${formatAge(age)} ago` : formatTime(us, now);
}
