import { computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { FrameLoop } from "../chart/loop";
import { type Palette, readPalette } from "../chart/palette";
import { filterSeries } from "../data/order";
import type { Series } from "../data/series";
import { Store } from "../data/store";
import { stateName } from "../data/update";
import type { Socket } from "../live/connection";
import { INITIAL, type LinkState } from "../live/machine";
import { Session } from "../live/session";
import { type Theme, themeSignal } from "./theme";
import { DEFAULT_VIEW, formatView, parseView, type ViewState } from "./url";

/** How often texts (values, ages) and orders are renewed, ms. */
const TICK = 250;
const ORDER_EVERY = 4;

/**
 * What the components share. Signals carry choices, connection state and two slow clocks; values are read
 * from the store whenever a clock ticks, so the rate of rows never reaches the components.
 */
export class Model {
  readonly store = new Store();
  readonly loop = new FrameLoop();
  readonly session: Session<Series>;
  readonly link: Signal<LinkState> = signal(INITIAL);
  readonly view: Signal<ViewState>;
  readonly theme: Signal<Theme>;
  readonly palette: Signal<Palette>;
  readonly helpOpen = signal(false);
  /** Clock of the texts. */
  readonly tick = signal(0);
  /** Clock of the orders. */
  readonly slowTick = signal(0);
  /** Series that pass the state and text filters, by name. */
  readonly matching: ReadonlySignal<Series[]>;

  constructor() {
    this.view = signal(parseView(location.search));
    this.theme = themeSignal();
    this.palette = signal(readPalette());
    this.session = new Session(this.view.value.pattern, this.store, {
      open: (subprotocol) => openSocket(subprotocol),
      onState: (state) => {
        this.link.value = state;
        this.refresh();
      },
    });
    this.matching = computed(() => {
      this.slowTick.value;
      const { filter, state } = this.view.value;
      const nameOf = (s: Series) => stateName(s.latest.state);
      const series = state ? this.store.all().filter((s) => nameOf(s) === state) : this.store.all();
      return filterSeries(series, filter, nameOf);
    });
  }

  start(): void {
    this.session.connection.dial();
    setInterval(() => this.advance(), TICK);
    addEventListener("popstate", () => this.show(parseView(location.search)));
    addEventListener("online", () => this.session.connection.dial());
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
    const next = { ...this.view.value, ...change };
    const address = location.pathname + formatView(next);
    if (step === "push") history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.show(next);
  }

  /** Address of the view with this change. */
  href(change: Partial<ViewState>): string {
    return formatView({ ...this.view.value, ...change }) || "?";
  }

  retry(): void {
    this.session.connection.dial();
  }

  setPattern(pattern: string): void {
    this.go({ ...DEFAULT_VIEW, window: this.view.value.window, pattern }, "push");
  }

  private show(next: ViewState): void {
    const patternChanged = next.pattern !== this.view.value.pattern;
    this.view.value = next;
    if (!patternChanged) return;
    this.store.restrict(next.pattern);
    this.store.lastProblem = null;
    this.session.setPattern(next.pattern);
    this.refresh();
  }

  private advance(): void {
    // The first series are shown at once, not with the next order.
    const first = this.store.size > 0 && this.matching.peek().length === 0;
    this.tick.value++;
    if (first || this.tick.value % ORDER_EVERY === 0) this.slowTick.value++;
  }

  private refresh(): void {
    this.tick.value++;
    this.slowTick.value++;
  }
}

function openSocket(subprotocol: string): Socket {
  const url = new URL("/v1/live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url, subprotocol) as Socket;
}

const Context = createContext<Model | null>(null);
export const ModelProvider = Context.Provider;

export function useModel(): Model {
  const model = useContext(Context);
  if (!model) throw new Error("useModel outside ModelProvider");
  return model;
}
