/** Colours of the charts, read from the design tokens in tokens.css; canvases cannot use them directly. */
export interface Palette {
  readonly muted: string;
  readonly grid: string;
  readonly surface: string;
  readonly line: string;
  readonly envelope: string;
  readonly average: string;
  readonly band: string;
  readonly anomalous: string;
  readonly alert: string;
  readonly font: string;
}

/** Tokens are light-dark() pairs: the browser resolves them for the scheme in force on a probe. */
export function readPalette(): Palette {
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const token = (name: string) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const palette: Palette = {
    muted: token("--muted"),
    grid: token("--chart-grid"),
    surface: token("--surface"),
    line: token("--chart-line"),
    envelope: token("--chart-envelope"),
    average: token("--chart-average"),
    band: token("--chart-band"),
    anomalous: token("--state-anomalous"),
    alert: token("--state-alert"),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
  };
  probe.remove();
  return palette;
}
