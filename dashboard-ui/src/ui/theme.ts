import { effect, type Signal, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
const THEMES: readonly Theme[] = ["auto", "light", "dark"];
const KEY = "weir-theme";

/** The chosen theme, kept in the browser and applied to the page; auto follows the system. */
export function themeSignal(): Signal<Theme> {
  const theme = signal(stored());
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    try {
      localStorage.setItem(KEY, theme.value);
    } catch {
      // Storage may be forbidden: the choice then lasts as long as the page.
    }
  });
  return theme;
}

export function nextTheme(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
}

function stored(): Theme {
  try {
    return THEMES.find((t) => t === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    return "auto";
  }
}
