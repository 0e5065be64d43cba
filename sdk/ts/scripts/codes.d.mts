/** The texts of the generated files by name. */
export function generate(): Record<string, string>;
