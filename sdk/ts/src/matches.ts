/** Reports whether the well-formed pattern selects path. */
export function matches(pattern: string, path: string): boolean {
  const want = pattern.split("/");
  const have = path.split("/");
  const reserved = path.startsWith("_");
  for (const [i, s] of want.entries()) {
    if (s === "#") return i > 0 || !reserved;
    const segment = have[i];
    if (segment === undefined) return false;
    if (s === "+") {
      if (i === 0 && reserved) return false;
    } else if (s !== segment) return false;
  }
  return have.length === want.length;
}
