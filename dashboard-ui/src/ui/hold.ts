import { useMemo, useRef } from "preact/hooks";

/** Tells whether the pointer or the keyboard's focus is inside an element: its order is then kept still. */
export function useHold() {
  const inside = useRef({ pointer: false, focus: false });
  const handlers = useMemo(
    () => ({
      onPointerEnter: (e: PointerEvent) => {
        // A finger never leaves, so only a mouse or pen holds.
        inside.current.pointer = e.pointerType !== "touch";
      },
      onPointerLeave: () => {
        inside.current.pointer = false;
      },
      onFocusIn: () => {
        inside.current.focus = true;
      },
      onFocusOut: () => {
        inside.current.focus = false;
      },
    }),
    [],
  );
  return { held: inside.current.pointer || inside.current.focus, handlers };
}
