/** The text of src/codes.gen.ts. */
export function generate(): string;
