import type { ComponentChildren } from "preact";
import { useModel } from "./model";
import type { ViewState } from "./url";

interface LinkProps {
  readonly class?: string | undefined;
  readonly tabIndex?: number | undefined;
  readonly "aria-label"?: string | undefined;
  readonly "aria-current"?: "true" | undefined;
  readonly "data-testid"?: string;
  readonly children: ComponentChildren;
}

/** Opens a series in the large chart. */
export function SeriesLink(props: LinkProps & { readonly name: string; readonly at?: number }) {
  const { name, at = 0, ...rest } = props;
  return <ViewLink to={{ series: name, at }} {...rest} />;
}

/** Changes the view; a real link, so that it can be copied and opened elsewhere. */
export function ViewLink({ to, children, ...rest }: LinkProps & { readonly to: Partial<ViewState> }) {
  const model = useModel();
  return (
    <a
      href={model.href(to)}
      {...rest}
      onClick={(e) => {
        if (e.metaKey || e.ctrlKey || e.shiftKey || e.button !== 0) return;
        e.preventDefault();
        model.go(to, "push");
        scrollTo({ top: 0 });
      }}
    >
      {children}
    </a>
  );
}
