/** What to say to a person about patternError's code. */
export function patternHint(code: string): string {
  switch (code) {
    case "path_empty":
      return "type a pattern; # matches every series";
    case "path_too_long":
      return "longer than 255 bytes";
    case "path_too_deep":
      return "more than 16 segments";
    case "path_character":
      return "a control character";
    case "path_segment_empty":
      return "an empty segment: remove the doubled, leading or trailing slash";
    default:
      return "+ must be a whole segment and # a whole last segment";
  }
}
