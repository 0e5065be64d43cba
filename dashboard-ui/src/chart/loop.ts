/** Something drawn on a canvas. frame is called once per animation frame and does nothing if nothing changed. */
export interface Drawable {
  frame(): void;
}

/** The page's one requestAnimationFrame loop. It stops while it has nothing to draw, and in hidden tabs. */
export class FrameLoop {
  private readonly drawables = new Set<Drawable>();
  private request = 0;

  add(drawable: Drawable): void {
    this.drawables.add(drawable);
    if (this.request === 0) this.request = requestAnimationFrame(this.run);
  }

  remove(drawable: Drawable): void {
    this.drawables.delete(drawable);
  }

  private readonly run = (): void => {
    for (const drawable of this.drawables) drawable.frame();
    this.request = this.drawables.size > 0 ? requestAnimationFrame(this.run) : 0;
  };
}
