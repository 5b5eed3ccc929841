// Two questions to a Redis, straight on its wire: how it is, and what it is asked.
import { connect } from "node:net";

/** One line of a command, its bulk answer as text. */
export function ask(port, command) {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(`${command}\r\n`));
    socket.setEncoding("latin1");
    socket.setTimeout(30_000, () => socket.destroy(new Error(`Redis did not answer ${command}`)));
    socket.on("error", reject);
    socket.on("data", (part) => {
      text += part;
      const head = /^([$:+-])([^\r]*)\r\n/.exec(text);
      if (head === null) return;
      const [line, kind, value] = head;
      if (kind === "$" && text.length < line.length + Number(value) + 2) return;
      socket.destroy();
      if (kind === "-") reject(new Error(value));
      else resolve(kind === "$" ? text.slice(line.length, line.length + Number(value)) : value);
    });
  });
}

/** What clients send from now on, by command; what a script calls inside the server is no round trip and is left out. */
export async function watchCommands(port) {
  const counts = new Map();
  const socket = connect(port, "127.0.0.1", () => socket.write("MONITOR\r\n"));
  let text = "";
  const began = new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.setEncoding("latin1").on("data", (part) => {
      const lines = (text + part).split("\r\n");
      text = lines.pop();
      for (const line of lines) {
        if (line === "+OK") resolve();
        const [, source, command] = /^\+[\d.]+ \[\d+ ([^\]]+)\] "(\w+)"/.exec(line) ?? [];
        if (command === undefined || source === "lua") continue;
        const name = command.toLowerCase();
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    });
  });
  await began;
  return {
    /** Whatever was sent before this is counted: the server answers in the order of what it was asked. */
    stop: async () => {
      await ask(port, "ECHO done");
      const endsAtMs = performance.now() + 10_000;
      while (!counts.has("echo") && performance.now() < endsAtMs) await new Promise((r) => setTimeout(r, 10));
      socket.destroy();
      counts.delete("echo");
      return Object.fromEntries(counts);
    },
  };
}
