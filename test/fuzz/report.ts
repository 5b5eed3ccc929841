/** In one line of visible ASCII; a long text loses its middle. */
export function escaped(text: string, most = 3000): string {
  const short = text.length <= most ? text : `${text.slice(0, most / 2)} … ${text.slice(-most / 2)}`;
  return short.replace(/[^\x20-\x7e]|\\/g, (octet) => {
    if (octet === "\r") return "\\r";
    if (octet === "\n") return "\\n";
    return `\\x${octet.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
