import { computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { LinkState } from "@weir/live";
import { stateName } from "@weir/live";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { Access, codeOf } from "../access/access";
import { type AccessState, ASKING } from "../access/machine";
import { FrameLoop } from "../chart/loop";
import { type Palette, readPalette } from "../chart/palette";
import { AlertActions } from "../data/actions";
import { filterSeries } from "../data/order";
import type { Series } from "../data/series";
import { Store } from "../data/store";
import { Session } from "../live/session";
import { type Theme, themeSignal } from "./theme";
import { changed, DEFAULT_VIEW, formatView, parseInstant, parseView, type ViewState, WINDOWS } from "./url";

/** How often texts (values, ages) and orders are renewed, ms. */
const TICK = 250;
const ORDER_EVERY = 4;
/** How often the silences are asked for, in ticks: others give and end some, and nobody tells of it. */
const SILENCES_EVERY = 40;
/** How often the server is asked what it counts of this page, in ticks. */
const FIGURES_EVERY = 8;

const VIEW_KEY = "weir-view";

/**
 * What the components share. Signals carry choices, connection state and two slow clocks; values are read
 * from the store whenever a clock ticks, so the rate of rows never reaches the components.
 */
export class Model {
  readonly store = new Store();
  readonly loop = new FrameLoop();
  readonly session: Session<Series>;
  readonly access: Access;
  readonly actions: AlertActions;
  readonly link: Signal<LinkState> = signal({ name: "idle" });
  /** Whether the person in front may see the page. */
  readonly who: Signal<AccessState> = signal(ASKING);
  readonly view: Signal<ViewState>;
  readonly theme: Signal<Theme>;
  readonly palette: Signal<Palette>;
  readonly helpOpen = signal(false);
  /** Clock of the texts. */
  readonly tick = signal(0);
  /** Clock of the orders. */
  readonly slowTick = signal(0);
  /** Whose readings the store holds. */
  private subject = "";
  /** Series that pass the state and text filters, by name. */
  readonly matching: ReadonlySignal<Series[]>;

  constructor() {
    this.view = signal(firstView());
    this.store.alerts.shown = this.view.value.alert;
    this.theme = themeSignal();
    this.palette = signal(readPalette());
    this.session = new Session(this.view.value.pattern, this.store, {
      onState: (state) => {
        this.link.value = state;
        this.refresh();
        if (state.name === "unauthenticated") this.access.required(state.reason);
        if (state.name === "live" && this.access.state.name === "unknown") void this.access.look();
        if (state.name === "live") void this.loadSilences();
      },
    });
    this.access = new Access({
      ask: (path, init) => fetch(path, init),
      onState: (state, before) => this.admit(state, before),
    });
    this.actions = new AlertActions({
      ask: (path, init) => fetch(path, init),
      onAlert: (alert) => {
        this.store.alert(alert);
        this.refresh();
      },
      onSilence: (silence) => {
        this.store.silences.put(silence);
        this.refresh();
      },
    });
    this.matching = computed(() => {
      this.slowTick.value;
      const { filter, state } = this.view.value;
      const nameOf = (s: Series) => stateName(s.state);
      const series = state ? this.store.all().filter((s) => nameOf(s) === state) : this.store.all();
      return filterSeries(series, filter, nameOf);
    });
  }

  start(): void {
    void this.access.begin(takeCode());
    addEventListener("hashchange", () => {
      const code = takeCode();
      if (code) void this.access.begin(code);
      this.followFragment();
    });
    this.followFragment();
    setInterval(() => this.advance(), TICK);
    addEventListener("popstate", () => this.show(parseView(location.search)));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => {
      this.palette.value = readPalette();
    });
    effect(() => {
      this.theme.value;
      this.palette.value = readPalette();
    });
  }

  /** Change the view. Steps that "back" should undo are pushed; small changes are not. */
  go(change: Partial<ViewState>, step: "push" | "replace" = "replace"): void {
    const next = changed(this.view.value, change);
    const address = location.pathname + formatView(next);
    if (step === "push") history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.show(next);
  }

  /** Whether the person may act on alerts. What they may see is theirs to act on, too. */
  mayAct(): boolean {
    const who = this.who.value;
    if (who.name === "open") return true;
    return who.name === "signed-in" && who.identity.roles.some((r) => r === "operator" || r === "admin");
  }

  /** Go to the instant that the address's fragment names, in a window that holds it if there is one. */
  private followFragment(): void {
    const to = parseInstant(location.hash);
    if (!to) return;
    const age = (this.store.now() - to.at / 1000) / 1000;
    const window = WINDOWS.find((s) => s > age + 5) ?? WINDOWS.at(-1) ?? DEFAULT_VIEW.window;
    this.go({ ...to, window }, "replace");
  }

  /** Address of the view with this change. */
  href(change: Partial<ViewState>): string {
    return formatView(changed(this.view.value, change)) || "?";
  }

  retry(): void {
    const { name } = this.who.value;
    if (name !== "asking" && name !== "signed-out") this.session.connect();
  }

  async signOut(): Promise<void> {
    // First, or the end of the session would look like somebody else's doing.
    this.session.close();
    this.store.clear();
    this.subject = "";
    await this.access.signOut();
  }

  /** Keep the view while the browser is at a sign-in service, which leads back to the bare page. */
  rememberView(): void {
    try {
      sessionStorage.setItem(VIEW_KEY, location.search);
    } catch {
      // Storage may be forbidden: the way back then ends at the default view.
    }
  }

  setPattern(pattern: string): void {
    this.go({ ...DEFAULT_VIEW, window: this.view.value.window, pattern }, "push");
  }

  private show(next: ViewState): void {
    const patternChanged = next.pattern !== this.view.value.pattern;
    this.view.value = next;
    this.store.alerts.shown = next.alert;
    if (!patternChanged) return;
    this.store.lastProblem = null;
    this.session.setPattern(next.pattern);
    this.refresh();
  }

  private admit(state: AccessState, before: AccessState): void {
    this.who.value = state;
    this.refresh();
    if (state.name === "asking" || state.name === "signed-out") return;
    const subject = state.name === "signed-in" ? `${state.identity.tenant}/${state.identity.subject}` : "";
    const another = state.name !== "unknown" && subject !== this.subject;
    if (another) {
      this.store.clear();
      this.subject = subject;
    }
    // What is open stands on the former credentials.
    if (another || before.name === "signed-out") this.session.close();
    this.session.connect();
  }

  private advance(): void {
    // The first series are shown at once, not with the next order.
    const first = this.store.size > 0 && this.matching.peek().length === 0;
    this.tick.value++;
    if (this.link.value.name === "live" && !document.hidden) {
      if (this.tick.value % SILENCES_EVERY === 0) void this.loadSilences();
      if (this.tick.value % FIGURES_EVERY === 0) void this.loadFigures();
    }
    if (first || this.tick.value % ORDER_EVERY === 0) this.slowTick.value++;
  }

  private async loadFigures(): Promise<void> {
    this.store.figures = await this.session.figures();
  }

  private async loadSilences(): Promise<void> {
    const { silences } = this.store;
    const { revision } = silences;
    const list = await this.actions.silences();
    // What changed meanwhile is newer than the answer: somebody else, or a silence given here.
    if (!list || revision !== silences.revision) return;
    silences.set(list);
    this.refresh();
  }

  private refresh(): void {
    this.tick.value++;
    this.slowTick.value++;
  }
}

/** The code of an operator's link, which from here on is neither in the address bar nor in the history. */
function takeCode(): string {
  const code = codeOf(location.hash);
  if (code) history.replaceState(null, "", location.pathname + location.search);
  return code;
}

/** The view that was kept before a sign-in elsewhere, or the address's. */
function firstView(): ViewState {
  let kept: string | null = null;
  try {
    kept = sessionStorage.getItem(VIEW_KEY);
    sessionStorage.removeItem(VIEW_KEY);
  } catch {
    // Storage may be forbidden.
  }
  if (kept && location.search === "")
    history.replaceState(null, "", location.pathname + kept + location.hash);
  return parseView(location.search);
}

const Context = createContext<Model | null>(null);
export const ModelProvider = Context.Provider;

export function useModel(): Model {
  const model = useContext(Context);
  if (!model) throw new Error("useModel outside ModelProvider");
  return model;
}
