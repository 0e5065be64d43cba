import { CLOSE_MEANINGS, ERROR_MEANINGS } from "./meanings.gen.ts";

/** A sentence for people about a close, or about why a connection is not there: see LinkState. */
export function closeMeaning(code: number, reason: string): string {
  const exact = CLOSE_MEANINGS[`${code} ${reason}`];
  if (exact) return exact;
  const general = Object.entries(CLOSE_MEANINGS).find(([key]) => key.startsWith(`${code} `))?.[1];
  const meaning = general ?? "the server cannot be reached";
  return reason ? `${meaning} (${reason})` : meaning;
}

/** A sentence for people about the code of an error. */
export function errorMeaning(code: string): string {
  return ERROR_MEANINGS[code] ?? code;
}
