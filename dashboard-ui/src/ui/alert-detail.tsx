import { useSignal } from "@preact/signals";
import type { AlertMessage, Note } from "@weir/live";
import { useEffect, useRef } from "preact/hooks";
import { type FeedEntry, isOpen } from "../data/alerts";
import { AlertActions } from "./alert-actions";
import { PhaseBadges, SeverityBadge } from "./alert-badges";
import { EvidenceChart } from "./evidence-chart";
import { formatAge, formatBand, formatCount, formatLimit, formatTime, formatValue, UNKNOWN } from "./format";
import { Icon } from "./icons";
import { SeriesLink } from "./link";
import { useModel } from "./model";
import { SilenceNote } from "./silences";

/** One alert with all its evidence, in place of the charts. */
export function AlertDetail({ id }: { id: string }) {
  const model = useModel();
  model.slowTick.value;
  const entry = model.store.alerts.get(id);
  const heading = useRef<HTMLHeadingElement>(null);
  // Whoever opened it by keyboard goes on here.
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <section class="alert-detail card" aria-labelledby="alert-title" data-testid="alert-detail">
      <div class="focus-head">
        <button type="button" class="back" onClick={() => model.go({ alert: "" }, "push")}>
          <Icon name="left" />
          {model.view.value.series ? "Back" : "All charts"}
        </button>
        <h2 id="alert-title" ref={heading} tabIndex={-1}>
          {entry ? entry.alert.summary || "Alert" : "Alert"}
        </h2>
      </div>
      {entry ? <Body entry={entry} /> : <Missing id={id} />}
    </section>
  );
}

/** The feed does not hold it: a link from elsewhere, or one that ended. The server may know. */
function Missing({ id }: { id: string }) {
  const model = useModel();
  const problem = useSignal("");
  const look = async () => {
    problem.value = "";
    const outcome = await model.actions.find(id);
    if (outcome.kind === "failed") problem.value = outcome.problem;
  };
  useEffect(() => {
    void look();
  }, [id]);
  if (!problem.value) {
    return (
      <p class="blank" role="status">
        Looking for the alert…
      </p>
    );
  }
  return (
    <div class="blank" role="alert">
      <p>{problem.value}</p>
      <button type="button" class="action" onClick={() => void look()}>
        Try again
      </button>
    </div>
  );
}

function Body({ entry }: { entry: FeedEntry }) {
  const model = useModel();
  const { alert } = entry;
  const now = model.store.now();
  const open = isOpen(entry);
  const lasted = Math.max(0, (open ? now : alert.ts / 1000) - alert.started_ts / 1000);
  return (
    <>
      <p class="badges">
        <SeverityBadge severity={alert.severity} />
        <PhaseBadges entry={entry} />
        {alert.assignee && <span class="badge">assigned to {alert.assignee}</span>}
      </p>
      <p class="alert-where">
        <SeriesLink name={alert.series} at={alert.ts} class="entry-series">
          {alert.series}
        </SeriesLink>
        <span class="muted">
          since {formatTime(alert.started_ts, now)}, {open ? "for" : "lasted"} {formatAge(lasted)} ·{" "}
          <SeriesLink name={alert.series} at={alert.ts} class="link" data-testid="instant-link">
            show that instant
          </SeriesLink>
        </span>
      </p>
      {open && <SilenceNote of={model.store.silences.ofAlert(alert)} />}
      <EvidenceChart alert={alert} />
      <Facts alert={alert} />
      <Texts of={{ ...alert.labels, ...alert.annotations }} />
      <Notes alert={alert} now={now} />
      {model.mayAct() && <AlertActions entry={entry} />}
    </>
  );
}

function Facts({ alert }: { alert: AlertMessage }) {
  const value = (v: number | null | undefined) => formatValue(v ?? Number.NaN);
  const q = alert.quality;
  const facts: [string, string, string][] = [
    ["value", value(alert.value), "Of the reading that caused the transition"],
    ["expected", formatBand(alert.lo, alert.hi), "Expected band"],
    [
      "limit",
      formatLimit(alert.detector, alert.limit ?? Number.NaN),
      "The level that the rule compares with",
    ],
    [
      "score",
      alert.score === null ? UNKNOWN : alert.score.toFixed(2),
      "The detector's, 0 to 1; 0.5 is the alert level",
    ],
    ["detector", alert.detector || UNKNOWN, "The head that fired, or the kind of the rule's condition"],
    ["rule", alert.rule, "Which rule raised the alert"],
    ["changed by", (alert.reason ?? UNKNOWN).replaceAll("_", " "), "What made the newest transition"],
  ];
  if (q) {
    facts.push(
      ["readings", formatCount(q.n), "Of the series since the alert before"],
      ["late, invalid", `${formatCount(q.late)}, ${formatCount(q.invalid)}`, "Readings that were left out"],
      ["longest gap", formatAge(q.gap_us / 1000), "Between two of the readings above"],
    );
  }
  return (
    <dl class="facts" data-testid="alert-facts">
      {facts.map(([name, text, title]) => (
        <div key={name} title={title}>
          <dt>{name}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

function Texts({ of }: { of: Readonly<Record<string, string>> }) {
  const entries = Object.entries(of);
  if (entries.length === 0) return null;
  return (
    <dl class="texts" aria-label="Labels and annotations">
      {entries.map(([key, text]) => (
        <div key={key}>
          <dt>{key}</dt>
          <dd>
            {isLink(text) ? (
              <a class="link" href={text} rel="noreferrer noopener" target="_blank">
                {text}
              </a>
            ) : (
              text
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Only what a browser opens as a page: a rule may hold any text. */
function isLink(text: string): boolean {
  return /^https?:\/\/[^\s]+$/.test(text);
}

function Notes({ alert, now }: { alert: AlertMessage; now: number }) {
  const notes: [string, Note][] = (alert.comments ?? []).map((note) => ["", note]);
  if (alert.acknowledged) notes.push(["acknowledged", alert.acknowledged]);
  if (notes.length === 0) return null;
  notes.sort((a, b) => a[1].time - b[1].time);
  return (
    <ol class="notes" aria-label="Comments" data-testid="notes">
      {notes.map(([what, note]) => (
        <li key={`${what}${note.time}`}>
          <span class="muted">
            <strong>{note.by}</strong> {what} {formatTime(note.time, now)}
          </span>
          {note.text && <p>{note.text}</p>}
        </li>
      ))}
    </ol>
  );
}
