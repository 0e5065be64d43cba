import { useSignal } from "@preact/signals";
import type { LinkState, SubscriptionFigures } from "@weir/live";
import { patternError } from "@weir/live/pattern";
import { useEffect } from "preact/hooks";
import { patternHint } from "../data/pattern";
import { formatAge, formatCount, UNKNOWN } from "./format";
import { Icon, Logo } from "./icons";
import { useModel } from "./model";
import { nextTheme, type Theme } from "./theme";
import { WINDOWS } from "./url";

/** Data older than this, ms, is pointed out. */
const OLD = 5_000;

export function Header() {
  return (
    <header class="header">
      <h1 class="visually-hidden">Live series and alerts</h1>
      <a class="brand" href="?" aria-label="Weir: all series">
        <Logo />
        <span>Weir</span>
      </a>
      <PatternBox />
      <WindowChoice />
      <Vitals />
      <LinkPill />
      <Account />
      <ThemeButton />
      <HelpButton />
    </header>
  );
}

function PatternBox() {
  const model = useModel();
  const { pattern } = model.view.value;
  model.tick.value;
  const text = useSignal(pattern);
  useEffect(() => {
    text.value = pattern;
  }, [pattern, text]);
  const code = patternError(text.value);
  const problem = code ? patternHint(code) : model.store.lastProblem?.message;
  const submit = (event: Event) => {
    event.preventDefault();
    if (!code && text.value !== pattern) model.setPattern(text.value);
  };
  return (
    <form class="pattern" onSubmit={submit}>
      <label for="pattern">Pattern</label>
      <input
        id="pattern"
        value={text.value}
        onInput={(e) => {
          text.value = e.currentTarget.value;
        }}
        onKeyDown={(e) => {
          // Before the key takes the focus away, which would apply what is half typed.
          if (e.key === "Escape") text.value = pattern;
        }}
        onBlur={submit}
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        aria-invalid={Boolean(problem)}
        aria-describedby="pattern-problem"
        title="+ is one segment, a last # any number of them. Example: plant1/+/temperature"
      />
      <span id="pattern-problem" class="pattern-problem" role="status">
        {problem}
      </span>
    </form>
  );
}

function WindowChoice() {
  const model = useModel();
  const current = model.view.value.window;
  return (
    <fieldset class="segments" aria-label="Time window">
      {WINDOWS.map((seconds) => (
        <button
          key={seconds}
          type="button"
          aria-pressed={seconds === current}
          onClick={() => model.go({ window: seconds, page: model.view.value.page })}
        >
          {seconds / 60} min
        </button>
      ))}
    </fieldset>
  );
}

function Vitals() {
  const model = useModel();
  model.tick.value;
  const { store } = model;
  const now = Date.now();
  const rows = store.rows.perSecond(now);
  const readings = store.readings.perSecond(now);
  const age = store.dataAge();
  const old = age > OLD;
  return (
    <dl class="vitals" aria-label="Stream">
      <div class={old ? "old" : ""} title="Age of the newest reading of all, by the server's clock">
        <dt>data age</dt>
        <dd data-testid="data-age">
          {old && <Icon name="warning" />}
          {formatAge(age)}
        </dd>
      </div>
      <div title="Rows received per second">
        <dt>rows/s</dt>
        <dd>{formatCount(rows)}</dd>
      </div>
      <div title="Readings that these rows stand for, per second">
        <dt>readings/s</dt>
        <dd>{formatCount(readings)}</dd>
      </div>
      <div title="Readings merged into one row, on average">
        <dt>merged</dt>
        <dd>{rows > 0 ? `×${formatCount(Math.round((readings / rows) * 10) / 10)}` : UNKNOWN}</dd>
      </div>
      <Behind />
      <LastResync />
    </dl>
  );
}

/** How far this page is behind by what waits for it on the server. */
function Behind() {
  const model = useModel();
  model.tick.value;
  const figures = model.link.value.name === "live" ? model.store.figures : null;
  const all = figures?.subscriptions ?? [];
  const sum = (of: (f: SubscriptionFigures) => number) => all.reduce((total, f) => total + of(f), 0);
  const lag = figures ? Math.max(0, ...all.map((f) => f.lag_ms)) : Number.NaN;
  const old = lag > OLD;
  const title = figures
    ? [
        `${formatCount(sum((f) => f.depth))} rows wait for this page on the server`,
        `${formatCount(sum((f) => f.merged))} were merged because it was late`,
        `it fell behind ${formatCount(sum((f) => f.stalls))} times`,
        `round trip ${formatAge(figures.rtt_ms ?? Number.NaN)}`,
      ].join("; ")
    : "How far this page is behind what the server has; it has not said";
  return (
    <div class={old ? "old" : ""} title={title}>
      <dt>behind</dt>
      <dd data-testid="behind">
        {old && <Icon name="warning" />}
        {formatAge(lag)}
      </dd>
    </div>
  );
}

const RESYNC_TEXT: Record<string, string> = {
  cursor_too_old: "the page was away for longer than the server keeps",
  epoch_changed: "the server has begun anew",
  gap: "something was missing",
  series_removed: "a device was deleted",
};

/** When readings in between were last not told one by one. */
function LastResync() {
  const model = useModel();
  model.tick.value;
  const { lastResync } = model.store;
  const why = lastResync && (RESYNC_TEXT[lastResync.reason] ?? lastResync.reason.replaceAll("_", " "));
  return (
    <div title={why ? `Began anew: ${why}` : "Nothing has been missed since this page was opened"}>
      <dt>resync</dt>
      <dd data-testid="resync">{lastResync ? `${formatAge(Date.now() - lastResync.at)} ago` : "none"}</dd>
    </div>
  );
}

const LINK_TEXT: Record<LinkState["name"], string> = {
  idle: "connecting",
  connecting: "connecting",
  live: "live",
  stale: "no answer",
  reconnecting: "reconnecting",
  refused: "refused",
  unauthenticated: "signed out",
};

function LinkPill() {
  const { link } = useModel();
  const { name } = link.value;
  return (
    <span class={`pill link-${name}`} role="status" data-testid="link" data-state={name}>
      <span class="dot" aria-hidden="true" />
      {LINK_TEXT[name]}
    </span>
  );
}

/** Who is signed in, where one has to be. */
function Account() {
  const model = useModel();
  const who = model.who.value;
  if (who.name !== "signed-in") return null;
  const { subject, roles, tenant } = who.identity;
  const title = [`Signed in as ${subject}`, roles.join(", "), tenant && `tenant ${tenant}`].filter(Boolean);
  return (
    <span class="account">
      <span class="subject" title={title.join(" · ")} data-testid="subject">
        <span class="visually-hidden">Signed in as </span>
        {subject}
      </span>
      <button type="button" onClick={() => void model.signOut()}>
        Sign out
      </button>
    </span>
  );
}

const THEME_ICON: Record<Theme, "auto" | "sun" | "moon"> = { auto: "auto", light: "sun", dark: "moon" };

function ThemeButton() {
  const { theme } = useModel();
  const label = `Theme: ${theme.value}. Change to ${nextTheme(theme.value)}`;
  return (
    <button
      type="button"
      class="icon-button"
      title={label}
      aria-label={label}
      onClick={() => {
        theme.value = nextTheme(theme.value);
      }}
    >
      <Icon name={THEME_ICON[theme.value]} />
    </button>
  );
}

function HelpButton() {
  const { helpOpen } = useModel();
  return (
    <button
      type="button"
      class="icon-button"
      aria-label="Keys and symbols"
      title="Keys and symbols (?)"
      onClick={() => {
        helpOpen.value = true;
      }}
    >
      ?
    </button>
  );
}
