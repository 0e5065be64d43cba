/** A name that nobody else gives. crypto.randomUUID would not do: pages without TLS do not have it. */
export function uniqueId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
