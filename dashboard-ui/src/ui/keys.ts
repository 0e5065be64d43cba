import type { Model } from "./model";
import { pagesOf, perPage, turned } from "./pages";
import { nextTheme } from "./theme";
import { WINDOWS } from "./url";

/** Page-wide keys; inactive while one types, and with modifiers, which are the browser's. */
export function listenForKeys(model: Model): void {
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || model.helpOpen.value) return;
    if (model.who.value.name === "signed-out") return;
    const target = e.target;
    if (target instanceof HTMLInputElement) {
      if (e.key === "Escape") target.blur();
      return;
    }
    if (!act(model, e.key)) return;
    e.preventDefault();
  });
}

function act(model: Model, key: string): boolean {
  const view = model.view.value;
  const window = WINDOWS[Number(key) - 1];
  if (window !== undefined) {
    model.go({ window });
    return true;
  }
  switch (key) {
    case "/":
      return focusInput("filter");
    case "p":
      return focusInput("pattern");
    case "[":
    case "]": {
      const pages = pagesOf(model.matching.value.length, perPage());
      model.go({ page: turned(view.page, key === "]" ? 1 : -1, pages) });
      return true;
    }
    case "t":
      model.theme.value = nextTheme(model.theme.value);
      return true;
    case "?":
      model.helpOpen.value = true;
      return true;
    case "Escape":
      if (view.alert) model.go({ alert: "" }, "push");
      else if (view.series) model.go({ series: "" }, "push");
      return view.alert !== "" || view.series !== "";
    default:
      return false;
  }
}

function focusInput(id: string): boolean {
  const input = document.getElementById(id);
  if (!(input instanceof HTMLInputElement)) return false;
  input.focus();
  input.select();
  return true;
}
