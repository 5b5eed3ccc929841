/** A line for everything that alerts and dashboard speak of and that is not in this scrape. */
export function missingIn(text: string): string[];
