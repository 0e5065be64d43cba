const PER_PAGE = 12;
const PER_PAGE_NARROW = 6;

/** How many charts a page has. */
export function perPage(): number {
  return matchMedia("(max-width: 640px)").matches ? PER_PAGE_NARROW : PER_PAGE;
}

/** How many pages that many series take, each of so many; one for none. */
export function pagesOf(series: number, each: number): number {
  return Math.max(1, Math.ceil(series / each));
}

/** The page so many further, as far as there are pages; an address may name one beyond them. */
export function turned(page: number, by: number, pages: number): number {
  return Math.max(0, Math.min(Math.min(page, pages - 1) + by, pages - 1));
}
